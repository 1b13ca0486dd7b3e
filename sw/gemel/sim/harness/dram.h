// One channel of DRAM behind a controller's DFI-like port: its rows, its bytes, and every rule of its timing.
//
// The bytes are the device memory, one flat array of system addresses; check bits aren't stored: a word's are those of
// its data, XOR the flips of that place (`DramFlips`), which a write of the word replaces.
#pragma once
#include <cstdint>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <vector>

#include "rules.h"
#include "secded.h"

struct DramBits {  // the address bits of one coordinate: bit i of it, XOR the parity of the address bits in a mask
    unsigned count;
    struct {
        unsigned bit;
        uint64_t others;
    } bits[24];
};

struct DramTable {  // what gemel.sim.dram_table writes: geometry, times in clocks, address map
    const char* name;
    unsigned access_bytes, groups, banks, channels, postponed;
    int64_t burst, cl, cwl, rcd_read, rcd_write, rp, ras, rc, ccd_s, ccd_l, rrd_s, rrd_l, faw, wtr_s, wtr_l, rtw, wr, rtp;
    int64_t rfc, rfc_pb, refi;
    DramBits row_bits, column_bits, bank_bits, channel_bits, group_bits;

    uint64_t address(unsigned channel, unsigned bank, unsigned row, unsigned column) const {
        uint64_t address = 0;
        place(address, row_bits, row);
        place(address, column_bits, column);
        place(address, bank_bits, bank / groups);
        place(address, channel_bits, channel);
        place(address, group_bits, bank % groups);
        return address;
    }

  private:
    static void place(uint64_t& address, const DramBits& bits, unsigned value) {
        for (unsigned i = 0; i < bits.count; ++i)
            address |= (uint64_t{value} >> i & 1 ^ __builtin_parityll(address & bits.bits[i].others)) << bits.bits[i].bit;
    }
};

struct DramFlip {  // bits in which a stored word differs from what was written
    uint64_t data;
    uint8_t check;
};
using DramFlips = std::unordered_map<uint64_t, DramFlip>;  // by address of the 64-bit word

struct DfiCommand {  // what a controller drives in one clock
    unsigned row_command, row_bank, row, column_command, column_bank, column;
    bool write_valid;
    const uint64_t* write_data;
    const uint8_t* write_check;
};

enum { kRowNone, kActivate, kPrecharge, kRefreshBank, kRefreshAll };
enum { kColumnNone, kRead, kWrite };

class DramChannel {
  public:
    // `size`: bytes that the host sees; a write beyond them would be lost on it.
    DramChannel(const DramTable& table, unsigned channel, uint8_t* bytes, uint64_t size, DramFlips& flips)
        : t_(table), channel_(channel), bytes_(bytes), size_(size), flips_(flips) {}

    // Whether read data stand on the port in `cycle`; then data() and check() are they.
    bool drive(int64_t cycle) {
        if (reads_.empty() || reads_.front().due != cycle) return false;
        driven_ = reads_.front();
        reads_.pop_front();
        for (const unsigned bit : wrong_) {
            const unsigned checks = 8 * t_.access_bytes;
            if (bit < checks) driven_.data[bit / 64] ^= uint64_t{1} << bit % 64;
            else driven_.check[(bit - checks) / 8] ^= 1u << bit % 8;
        }
        wrong_.clear();
        return true;
    }
    // Turn one more bit of the next access over that is read: of its data, or of its check bits, which follow.
    void flip_next(unsigned bit) { wrong_.push_back(bit % (9 * t_.access_bytes)); }
    const uint64_t* data() const { return driven_.data; }
    const uint8_t* check() const { return driven_.check; }
    uint64_t read_bytes() const { return read_bytes_; }
    uint64_t written_bytes() const { return written_bytes_; }
    uint64_t activates() const { return activated_; }
    uint64_t refreshes() const { return refreshed_; }

    void sample(int64_t cycle, const DfiCommand& c, Rules& rules) {
        rules_ = &rules;
        cycle_ = cycle;
        if (c.row_command) row(c);
        if (c.column_command) column(c);
        write_data(c);
        if (cycle > deadline_)
            rules.broke("channel %u, clock %" PRId64 ": tREFI broken: bank %u is %u refreshes behind", channel_, cycle,
                        latest_, t_.postponed + 1);
    }

  private:
    static constexpr int64_t kNever = -(int64_t{1} << 40);
    struct Bank {
        bool open = false;
        unsigned row = 0;
        int64_t activate = kNever, precharge = kNever, read = kNever, write = kNever, refresh = kNever, refreshes = 0;
    };
    struct Access {
        int64_t due;
        uint64_t address;
        uint64_t data[8];
        uint8_t check[8];
    };

    // The rule `name` asks for `clocks` since the event at `since`.
    void need(const char* name, const char* command, unsigned bank, int64_t since, int64_t clocks) {
        if (cycle_ - since < clocks)
            rules_->broke("channel %u, clock %" PRId64 ": %s broken by %s of bank %u: %" PRId64 " clocks of %" PRId64,
                          channel_, cycle_, name, command, bank, cycle_ - since, clocks);
    }
    void wrong(const char* name, const char* command, unsigned bank) {
        rules_->broke("channel %u, clock %" PRId64 ": %s broken by %s of bank %u", channel_, cycle_, name, command, bank);
    }
    bool together(unsigned a, unsigned b) const { return a % t_.groups == b % t_.groups; }

    void row(const DfiCommand& c) {
        const unsigned b = c.row_bank;
        Bank& bank = banks_[b];
        switch (c.row_command) {
            case kActivate:
                if (bank.open) wrong("row open", "ACTIVATE", b);
                need("tRFC", "ACTIVATE", b, refresh_all_, t_.rfc);
                need("tRFC_pb", "ACTIVATE", b, bank.refresh, t_.rfc_pb);
                need("tRP", "ACTIVATE", b, bank.precharge, t_.rp);
                need("tRC", "ACTIVATE", b, bank.activate, t_.rc);
                for (unsigned o = 0; o < t_.banks; ++o) {
                    if (together(o, b)) need("tRRD_L", "ACTIVATE", b, banks_[o].activate, t_.rrd_l);
                    else need("tRRD_S", "ACTIVATE", b, banks_[o].activate, t_.rrd_s);
                }
                need("tFAW", "ACTIVATE", b, activates_[turn_], t_.faw);
                activates_[turn_] = cycle_;
                turn_ = (turn_ + 1) % 4;
                ++activated_;
                bank.open = true;
                bank.row = c.row;
                bank.activate = cycle_;
                break;
            case kPrecharge:
                if (!bank.open) break;
                need("tRAS", "PRECHARGE", b, bank.activate, t_.ras);
                need("tRTP", "PRECHARGE", b, bank.read, t_.rtp);
                need("tWR", "PRECHARGE", b, bank.write, t_.cwl + t_.burst + t_.wr);
                bank.open = false;
                bank.precharge = cycle_;
                break;
            case kRefreshBank:
                if (bank.open) wrong("row open", "REFRESH", b);
                need("tRFC", "REFRESH", b, refresh_all_, t_.rfc);
                for (unsigned o = 0; o < t_.banks; ++o) need("tRFC_pb", "REFRESH", b, banks_[o].refresh, t_.rfc_pb);
                need("tRP", "REFRESH", b, bank.precharge, t_.rp);
                need("tRC", "REFRESH", b, bank.activate, t_.rc);
                bank.refresh = cycle_;
                ++bank.refreshes;
                refreshed();
                break;
            case kRefreshAll:
                for (unsigned o = 0; o < t_.banks; ++o) {
                    if (banks_[o].open) wrong("row open", "REFRESH_ALL", o);
                    need("tRFC_pb", "REFRESH_ALL", o, banks_[o].refresh, t_.rfc_pb);
                    need("tRP", "REFRESH_ALL", o, banks_[o].precharge, t_.rp);
                    need("tRC", "REFRESH_ALL", o, banks_[o].activate, t_.rc);
                    ++banks_[o].refreshes;
                }
                need("tRFC", "REFRESH_ALL", b, refresh_all_, t_.rfc);
                refresh_all_ = cycle_;
                refreshed();
        }
    }

    void column(const DfiCommand& c) {
        const unsigned b = c.column_bank;
        const bool reads = c.column_command == kRead;
        const char* name = reads ? "READ" : "WRITE";
        Bank& bank = banks_[b];
        if (!bank.open) return wrong("row closed", name, b);
        if (reads) need("tRCD_read", name, b, bank.activate, t_.rcd_read);
        else need("tRCD_write", name, b, bank.activate, t_.rcd_write);
        for (unsigned o = 0; o < t_.banks; ++o) {
            const bool l = together(o, b);
            need(l ? "tCCD_L" : "tCCD_S", name, b, reads ? banks_[o].read : banks_[o].write, l ? t_.ccd_l : t_.ccd_s);
            if (reads)
                need(l ? "tWTR_L" : "tWTR_S", name, b, banks_[o].write, t_.cwl + t_.burst + (l ? t_.wtr_l : t_.wtr_s));
            else need("tRTW", name, b, banks_[o].read, t_.rtw);
        }
        const int64_t begins = cycle_ + (reads ? t_.cl : t_.cwl);
        while (!bus_.empty() && bus_.front() + t_.burst <= cycle_) bus_.pop_front();
        for (const int64_t other : bus_)
            if (begins < other + t_.burst && other < begins + t_.burst) wrong("data bus", name, b);
        bus_.push_back(begins);
        Access access{reads ? begins + t_.burst - 1 : begins, t_.address(channel_, b, bank.row, c.column), {}, {}};
        if (!reads) {
            bank.write = cycle_;
            writes_.push_back(access);
            return;
        }
        bank.read = cycle_;
        read_bytes_ += t_.access_bytes;
        memcpy(access.data, bytes_ + access.address, t_.access_bytes);
        for (unsigned i = 0; i < t_.access_bytes / 8; ++i) {
            access.check[i] = secded_encode(access.data[i]);
            if (flips_.empty()) continue;
            const auto flip = flips_.find(access.address + 8 * i);
            if (flip == flips_.end()) continue;
            access.data[i] ^= flip->second.data;
            access.check[i] ^= flip->second.check;
        }
        reads_.push_back(access);
    }

    void write_data(const DfiCommand& c) {
        const bool due = !writes_.empty() && writes_.front().due == cycle_;
        if (due != c.write_valid) return wrong("tCWL", due ? "no data" : "data", 0);
        if (!due) return;
        const uint64_t address = writes_.front().address;
        writes_.pop_front();
        if (address >= size_)
            rules_->broke("channel %u, clock %" PRId64 ": a write to 0x%" PRIx64 ", beyond the host's 0x%" PRIx64 " bytes",
                          channel_, cycle_, address, size_);
        written_bytes_ += t_.access_bytes;
        memcpy(bytes_ + address, c.write_data, t_.access_bytes);
        for (unsigned i = 0; i < t_.access_bytes / 8; ++i) {
            const uint8_t check = secded_encode(c.write_data[i]) ^ c.write_check[i];
            if (check) flips_[address + 8 * i] = {0, check};
            else if (!flips_.empty()) flips_.erase(address + 8 * i);
        }
    }

    void refreshed() {
        ++refreshed_;
        deadline_ = INT64_MAX;
        for (unsigned o = 0; o < t_.banks; ++o) {
            const int64_t deadline = (banks_[o].refreshes + 1 + t_.postponed) * t_.refi;
            if (deadline < deadline_) deadline_ = deadline, latest_ = o;
        }
    }

    const DramTable& t_;
    unsigned channel_;
    uint8_t* bytes_;
    uint64_t size_;
    DramFlips& flips_;
    std::vector<unsigned> wrong_;  // bits of the next access read
    Rules* rules_ = nullptr;
    int64_t cycle_ = 0;
    Bank banks_[64];
    int64_t refresh_all_ = kNever, activates_[4] = {kNever, kNever, kNever, kNever};
    unsigned turn_ = 0, latest_ = 0;
    int64_t deadline_ = (1 + static_cast<int64_t>(t_.postponed)) * t_.refi;
    std::deque<int64_t> bus_;
    std::deque<Access> reads_, writes_;
    Access driven_{};
    uint64_t read_bytes_ = 0, written_bytes_ = 0, activated_ = 0, refreshed_ = 0;
};
