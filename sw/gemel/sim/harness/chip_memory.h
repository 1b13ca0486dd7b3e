// What is behind the chip's memory ports: an AXI memory each, or a DRAM channel each.
#pragma once
#include <array>
#include "axi_memory.h"
#include "chip.h"
#include "ports.h"
#if GEMEL_DRAM
#include "dfi.h"
#include "dram_table.h"
#endif

#define GEMEL_PORT(number) GEMEL_AXI_PORT(Port##number, m_axi##number##_)
GEMEL_PORTS(GEMEL_PORT)
#define GEMEL_COUNT(number) +1
#if GEMEL_DRAM
#define GEMEL_DFI(number) GEMEL_DFI_PORT(Dfi##number, dfi##number##_)
GEMEL_DFIS(GEMEL_DFI)
#endif

#if GEMEL_DRAM
class ChipMemory {
  public:
    // Bytes to map for `bytes` that the host sees: the DRAM has all of its own.
    static uint64_t mapped(uint64_t bytes) { return bytes > kDramBytes ? 0 : kDramBytes; }

    // Granules of writes, by channel.
    using Counts = std::array<uint64_t, kDram.channels>;

    void configure(const gemel_options&) {}  // its behaviour is its table's

    void reset(uint8_t* bytes, const gemel_options& options) {
        taken_ = stored_ = {};
        drams_.clear();
        for (unsigned channel = 0; channel < kDram.channels; ++channel)
            drams_.emplace_back(kDram, channel, bytes, options.memory_bytes, flips_);
    }

    struct Saved {
        DramFlips flips;
        std::vector<DramChannel> drams;
        uint64_t begin;
        Counts taken, stored;
    };
    Saved save() const { return {flips_, drams_, begin_, taken_, stored_}; }
    void restore(const Saved& from) {
        flips_ = from.flips;
        drams_.clear();
        for (const DramChannel& dram : from.drams) drams_.push_back(dram);
        begin_ = from.begin;
        taken_ = from.taken;
        stored_ = from.stored;
    }

    template <class Top>
    void drive(Top& top, uint64_t cycle) {
        if (top.rst) begin_ = cycle + 1;
#define GEMEL_DRIVE(number) Dfi##number<Top>{top}.drive(drams_[number], cycle - begin_);
        GEMEL_DFIS(GEMEL_DRIVE)
    }

    template <class Top>
    void sample(Top& top, uint64_t cycle, Rules& rules) {
#define GEMEL_SAMPLE_PORT(number) Dfi##number<Top>{top}.sample(drams_[number], cycle - begin_, rules);
        GEMEL_DFIS(GEMEL_SAMPLE_PORT)
        for (unsigned channel = 0; channel < kDram.channels; ++channel) {
            taken_[channel] += top.memory_taken >> channel & 1;
            stored_[channel] += top.memory_stored >> channel & 1;
        }
    }

    // Granules that the chip has taken: those of all writes that it has answered, and perhaps more.
    const Counts& taken() const { return taken_; }

    // Whether the DRAM has all of them.
    bool has(const Counts& taken) const {
        for (unsigned channel = 0; channel < kDram.channels; ++channel)
            if (stored_[channel] < taken[channel]) return false;
        return true;
    }

    unsigned ports() const { return drams_.size(); }
    gemel_traffic traffic(unsigned port) const {
        const DramChannel& dram = drams_[port];
        return {dram.read_bytes(), dram.written_bytes(), dram.activates(), dram.refreshes()};
    }

    // Flip stored bits of the 64-bit word at `address`.
    bool flip(uint64_t address, uint64_t data, uint8_t check) {
        DramFlip& flip = flips_[address & ~uint64_t{7}];
        flip.data ^= data;
        flip.check ^= check;
        return true;
    }

    // Turn a bit of the next access that is read at a port over, on its way from the DRAM.
    bool flip_read(unsigned port, unsigned bit) {
        if (port < drams_.size()) drams_[port].flip_next(bit);
        return port < drams_.size();
    }

  private:
    DramFlips flips_;
    std::vector<DramChannel> drams_;
    uint64_t begin_ = 0;
    Counts taken_{}, stored_{};
};
#else
class ChipMemory {
  public:
    static uint64_t mapped(uint64_t bytes) { return bytes; }

    void configure(const gemel_options& options) {  // each port's stalls and orders are its own
        gemel_options own = options;
        for (unsigned port = 0; port < kPorts; ++port) {
            own.seed = options.seed + port * uint64_t{0x9E3779B9};
            memories_[port].configure(own);
        }
    }

    void reset(uint8_t* bytes, const gemel_options& options) {
        memories_.assign(kPorts, AxiMemory(bytes, options.memory_bytes));
        configure(options);
    }

    template <class Top>
    void drive(Top& top, uint64_t cycle) {
#define GEMEL_DRIVE(number) memories_[number].drive(Port##number<Top>{top}, cycle);
        GEMEL_PORTS(GEMEL_DRIVE)
    }

    template <class Top>
    void sample(Top& top, uint64_t cycle, Rules& rules) {
#define GEMEL_SAMPLE_PORT(number) memories_[number].sample(Port##number<Top>{top}, cycle, rules);
        GEMEL_PORTS(GEMEL_SAMPLE_PORT)
    }

    using Saved = std::vector<AxiMemory>;
    Saved save() const { return memories_; }
    void restore(const Saved& from) { memories_ = from; }

    // A write that was answered is there.
    struct Counts {};
    Counts taken() const { return {}; }
    bool has(Counts) const { return true; }

    unsigned ports() const { return kPorts; }
    gemel_traffic traffic(unsigned port) const { return memories_[port].traffic(); }

    bool flip(uint64_t, uint64_t, uint8_t) { return false; }  // no check bits, no flips

    // Turn a bit of the next beat of read data at a port over.
    bool flip_read(unsigned port, unsigned bit) {
        if (port < kPorts) memories_[port].flip_next(bit);
        return port < kPorts;
    }

  private:
    static constexpr unsigned kPorts = 0 GEMEL_PORTS(GEMEL_COUNT);
    std::vector<AxiMemory> memories_;  // one behind each port
};
#endif
