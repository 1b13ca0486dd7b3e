// The memory behind one of the chip's AXI4 ports (see ports.h): fixed latency, fixed bandwidth, and stalls and reordering when asked.
//
// One address a cycle is accepted on each of AR and AW. A burst's first beat can come `latency` cycles after its address
// was accepted; all reads share `bandwidth_bytes` per `bandwidth_cycles`, in the order of their addresses unless
// `reorder` is set. Writes take W beats at the same rate, from the cycle after their address; B comes `latency` cycles
// after the last beat. A read sees memory as it was when its address was accepted, a write changes memory when its
// response is offered: a program that doesn't wait for its data gets the wrong bytes in every run.
#pragma once
#include <algorithm>
#include <cstring>
#include <deque>
#include <vector>

#include "gemel.h"
#include "rules.h"

class AxiMemory {
  public:
    AxiMemory(uint8_t* bytes, uint64_t size) : bytes_(bytes), size_(size) {}

    void configure(const gemel_options& options) {
        options_ = options;
        random_ = options.seed * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du;
        for (int c = 0; c < GEMEL_CHANNELS; ++c)
            threshold_[c] = static_cast<uint64_t>(std::min(std::max(options.stalls[c], 0.0), 1.0) * 4294967296.0);
        read_credit_.rate = write_credit_.rate = options.bandwidth_bytes;
        read_credit_.price = write_credit_.price = kBeat * static_cast<uint64_t>(options.bandwidth_cycles);
    }

    // Turn a bit of the next beat of read data over.
    void flip_next(unsigned bit) { flip_ = static_cast<int>(bit % (8 * kBeat)); }

    const gemel_traffic& traffic() const { return traffic_; }

    // Before the clock edge of `cycle`: what the memory drives in it.
    template <class Port>
    void drive(const Port& port, uint64_t cycle) {
        port.arready() = !stalled(AR);
        port.awready() = !stalled(AW);
        write_credit_.earn();
        port.wready() = filling_ < writes_.size() && write_credit_.enough() && !stalled(W);
        read_credit_.earn();
        if (!r_valid_ && read_credit_.enough() && !stalled(R)) offer_read(port, cycle);
        if (!b_valid_ && !stalled(B)) offer_response(port, cycle);
        port.rvalid() = r_valid_;
        port.bvalid() = b_valid_;
    }

    // Once the chip's outputs have settled: the transfers of `cycle`.
    template <class Port>
    void sample(const Port& port, uint64_t cycle, Rules& rules) {
        const Address ar{port.araddr(), port.arlen(), port.arid()};
        held_ar_.check(rules, "AR", cycle, port.arvalid(), port.arready(), ar);
        if (port.arvalid() && port.arready()) {
            rules.burst("AR", cycle, ar.address, ar.length + 1, port.arsize(), port.arburst());
            accept_read(ar, cycle);
        }
        const Address aw{port.awaddr(), port.awlen(), port.awid()};
        held_aw_.check(rules, "AW", cycle, port.awvalid(), port.awready(), aw);
        sample_write_data(port, cycle, rules);
        if (port.awvalid() && port.awready()) {
            rules.burst("AW", cycle, aw.address, aw.length + 1, port.awsize(), port.awburst());
            writes_.push_back(Burst{aw, 0, 0, {}, {}});
        }
        if (r_valid_ && port.rready()) {
            r_valid_ = false;
            traffic_.read_bytes += kBeat;
        }
        if (b_valid_ && port.bready()) b_valid_ = false;
    }

  private:
    static constexpr unsigned kBeat = 64;
    static constexpr unsigned kOkay = 0, kDecodeError = 3;
    enum { AR, R, AW, W, B };

    struct Address {
        uint64_t address;
        unsigned length;
        unsigned id;
        bool operator==(const Address& o) const { return address == o.address && length == o.length && id == o.id; }
    };
    struct Data {
        uint8_t bytes[kBeat];
        uint64_t strobe;
        bool last;
        bool operator==(const Data& o) const {
            return strobe == o.strobe && last == o.last && !memcmp(bytes, o.bytes, kBeat);
        }
    };
    struct Burst {
        Address at;
        uint64_t ready;  // the first cycle in which it can be served
        unsigned beat;
        std::vector<uint8_t> data;
        std::vector<uint64_t> strobes;
        uint64_t place(unsigned beat) const { return (at.address & ~uint64_t{kBeat - 1}) + uint64_t{beat} * kBeat; }
    };
    struct Credit {  // bandwidth in exact fractions; an idle bus saves up for one beat
        uint64_t rate = kBeat, price = kBeat, saved = 0;
        void earn() { saved = std::min(saved + rate, price + rate - 1); }
        bool enough() const { return saved >= price; }
        void spend() { saved -= price; }
    };

    bool inside(uint64_t place) const { return place <= size_ && size_ - place >= kBeat; }

    bool stalled(int channel) {
        if (!threshold_[channel]) return false;
        return (next_random() >> 32) < threshold_[channel];
    }

    uint64_t next_random() {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        return random_ ^= random_ << 17;
    }

    void accept_read(const Address& ar, uint64_t cycle) {
        Burst burst{ar, cycle + options_.latency, 0, {}, {}};
        burst.data.resize((ar.length + 1) * kBeat);
        for (unsigned beat = 0; beat <= ar.length; ++beat)
            if (inside(burst.place(beat))) memcpy(&burst.data[beat * kBeat], bytes_ + burst.place(beat), kBeat);
        reads_.push_back(std::move(burst));
    }

    // The burst to serve: the oldest, or with `reorder` the oldest of a random id. -1: none is ready.
    int choose(const std::deque<Burst>& bursts, size_t count, uint64_t cycle) {
        if (!count) return -1;
        if (!options_.reorder) return bursts.front().ready <= cycle ? 0 : -1;
        const size_t first = next_random() % count;
        for (size_t i = 0; i < count; ++i) {
            const size_t candidate = (first + i) % count;
            if (bursts[candidate].ready > cycle) continue;
            size_t oldest = 0;
            while (bursts[oldest].at.id != bursts[candidate].at.id) ++oldest;
            return static_cast<int>(oldest);
        }
        return -1;
    }

    template <class Port>
    void offer_read(const Port& port, uint64_t cycle) {
        const int chosen = choose(reads_, reads_.size(), cycle);
        if (chosen < 0) return;
        read_credit_.spend();
        Burst& burst = reads_[chosen];
        if (flip_ >= 0) burst.data[burst.beat * kBeat + flip_ / 8] ^= 1u << flip_ % 8;
        flip_ = -1;
        memcpy(&port.rdata()[0], &burst.data[burst.beat * kBeat], kBeat);
        port.rid() = burst.at.id;
        port.rresp() = inside(burst.place(burst.beat)) ? kOkay : kDecodeError;
        port.rlast() = burst.beat == burst.at.length;
        r_valid_ = true;
        if (burst.beat++ == burst.at.length) reads_.erase(reads_.begin() + chosen);
    }

    template <class Port>
    void sample_write_data(const Port& port, uint64_t cycle, Rules& rules) {
        if (!port.wvalid()) {
            held_w_.check(rules, "W", cycle, false, port.wready(), Data{});
            return;
        }
        Data beat;
        memcpy(beat.bytes, &port.wdata()[0], kBeat);
        beat.strobe = port.wstrb();
        beat.last = port.wlast();
        held_w_.check(rules, "W", cycle, true, port.wready(), beat);
        if (!port.wready()) return;
        write_credit_.spend();
        traffic_.written_bytes += kBeat;
        Burst& burst = writes_[filling_];
        const bool last = burst.strobes.size() == burst.at.length;
        if (beat.last != last)
            rules.broke("cycle %" PRIu64 ": W last is %d at beat %zu of the burst of %u at 0x%" PRIx64, cycle, beat.last,
                        burst.strobes.size(), burst.at.length + 1, burst.at.address);
        if (burst.strobes.empty() && (beat.strobe & ((uint64_t{1} << (burst.at.address % kBeat)) - 1)))
            rules.broke("cycle %" PRIu64 ": W strobes 0x%" PRIx64 " lie below the burst's address 0x%" PRIx64, cycle,
                        beat.strobe, burst.at.address);
        burst.data.insert(burst.data.end(), beat.bytes, beat.bytes + kBeat);
        burst.strobes.push_back(beat.strobe);
        if (!last) return;
        burst.ready = cycle + options_.latency;
        ++filling_;
    }

    template <class Port>
    void offer_response(const Port& port, uint64_t cycle) {
        const int chosen = choose(writes_, filling_, cycle);
        if (chosen < 0) return;
        const Burst& burst = writes_[chosen];
        bool outside = false;
        for (unsigned beat = 0; beat <= burst.at.length; ++beat) outside |= !inside(burst.place(beat));
        if (!outside)
            for (unsigned beat = 0; beat <= burst.at.length; ++beat)
                write(bytes_ + burst.place(beat), &burst.data[beat * kBeat], burst.strobes[beat]);
        port.bid() = burst.at.id;
        port.bresp() = outside ? kDecodeError : kOkay;
        b_valid_ = true;
        writes_.erase(writes_.begin() + chosen);
        --filling_;
    }

    static void write(uint8_t* to, const uint8_t* from, uint64_t strobe) {
        if (strobe == ~uint64_t{0}) {
            memcpy(to, from, kBeat);
            return;
        }
        for (unsigned byte = 0; byte < kBeat; ++byte)
            if (strobe >> byte & 1) to[byte] = from[byte];
    }

    uint8_t* bytes_;
    uint64_t size_;
    gemel_options options_{};
    uint64_t threshold_[GEMEL_CHANNELS]{};
    uint64_t random_ = 1;
    gemel_traffic traffic_{};
    Credit read_credit_, write_credit_;
    std::deque<Burst> reads_;
    std::deque<Burst> writes_;  // the first `filling_` have all their data
    size_t filling_ = 0;
    int flip_ = -1;
    bool r_valid_ = false, b_valid_ = false;
    Held<Address> held_ar_, held_aw_;
    Held<Data> held_w_;
};
