// The clock loop around one Verilated chip: memory, register port, instruction trace and waves behind gemel.h.
#include <sys/mman.h>

#include <cstdlib>
#include <memory>

#include "Vchip.h"
#include "chip.h"
#include "chip_memory.h"
#include "gemel.h"
#include "rules.h"
#if GEMEL_UPSETS
#include "snapshot.h"
#endif
#include "upsets.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_vcd_c.h"
#endif

namespace {

constexpr unsigned kResetCycles = 4;
constexpr unsigned kRegisterCycles = 10000;  // an AXI4-Lite access that takes longer is a fault of the chip
constexpr size_t kEvents = size_t{1} << 20;  // the trace keeps the newest so many
constexpr uint64_t kNever = ~uint64_t{0};
constexpr uint64_t kPeriod = 10;             // VCD time units in a cycle

constexpr uint64_t kSettleCycles = 100000;    // the DRAM has every write within this

std::string creation_error;

void* map_memory(uint64_t bytes) {  // pages that nobody touches cost nothing
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

class Trace {
  public:
    void sample(unsigned unit, bool queued, bool start, bool stop, uint32_t pc, uint64_t cycle) {
        if (queued) queued_[unit].push_back(cycle);
        if (start) {
            gemel_event event{unit, pc, cycle, cycle, 0};
            if (!queued_[unit].empty()) {
                event.queued = queued_[unit].front();
                queued_[unit].pop_front();
            }
            begun_[unit].push_back(event);
        }
        if (!stop || begun_[unit].empty()) return;
        if (done_.size() == kEvents) done_.pop_front();
        done_.push_back(begun_[unit].front());
        done_.back().stop = cycle + 1;
        begun_[unit].pop_front();
    }

    size_t take(gemel_event* events, size_t capacity) {
        const size_t count = std::min(capacity, done_.size());
        std::copy_n(done_.begin(), count, events);
        done_.erase(done_.begin(), done_.begin() + count);
        if (done_.empty()) {
            for (auto& unit : begun_) unit.clear();
            for (auto& unit : queued_) unit.clear();
        }
        return count;
    }

  private:
    std::deque<uint64_t> queued_[16 * 32];  // by unit + 16 * core
    std::deque<gemel_event> begun_[16 * 32];
    std::deque<gemel_event> done_;
};

}  // namespace

struct gemel_chip {
    explicit gemel_chip(const gemel_options& options, uint8_t* bytes)
        : options_(options), bytes_(bytes) {
        context_.threads(1);
        context_.traceEverOn(VM_TRACE);
        top_ = std::make_unique<Vchip>(&context_);
        reset();
    }

    ~gemel_chip() {
#if VM_TRACE
        if (vcd_.isOpen()) vcd_.close();
#endif
        top_->final();
        munmap(bytes_, ChipMemory::mapped(options_.memory_bytes));
    }

    void configure(const gemel_options& options) {
        const uint64_t size = options_.memory_bytes;
        options_ = options;
        options_.memory_bytes = size;
        memory_.configure(options_);
    }

    void reset() {
        memory_.reset(bytes_, options_);
        rules_ = Rules();
        top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_bready = 0;
        top_->s_axil_arvalid = top_->s_axil_rready = 0;
        top_->rst = 1;
        for (unsigned i = 0; i < kResetCycles; ++i) step();
        top_->rst = 0;
        rules_ = Rules();
    }

#if GEMEL_UPSETS
    // Everything between two cycles, device memory as far as the host sees it included; the snapshot's number.
    size_t save() {
        snapshots_.push_back({save_model(*top_), {bytes_, bytes_ + options_.memory_bytes}, memory_.save(), trace_, rules_, cycle_});
        return snapshots_.size() - 1;
    }

    bool restore(size_t number) {
        if (number >= snapshots_.size()) return false;
        const Snapshot& from = snapshots_[number];
        restore_model(*top_, from.model);
        std::copy(from.bytes.begin(), from.bytes.end(), bytes_);
        memory_.restore(from.memory);
        trace_ = from.trace;
        rules_ = from.rules;
        cycle_ = from.cycle;
        return true;
    }
#else
    size_t save() { return ~size_t{0}; }
    bool restore(size_t) { return false; }
#endif

    int run(uint64_t cycles, bool until_interrupt) {
        if (until_interrupt && top_->irq) return settled();
        for (uint64_t end = cycle_ + cycles; cycle_ < end;) {
            step();
            if (rules_.broken()) return -1;
            if (until_interrupt && top_->irq) return settled();
        }
        return 0;
    }

    // Go on until memory has all writes that the chip has answered: before the host looks at it, or writes it itself.
    // 1, or -1 after a broken rule.
    int settled() {
        const auto taken = memory_.taken();
        for (uint64_t end = cycle_ + kSettleCycles; !memory_.has(taken) && !rules_.broken();) {
            if (cycle_ == end) rules_.broke("a write isn't in memory %" PRIu64 " cycles after its answer", kSettleCycles);
            step();
        }
        return rules_.broken() ? -1 : 1;
    }

    int read_register(uint32_t offset, uint32_t* value) {
        top_->s_axil_araddr = offset;
        top_->s_axil_arvalid = top_->s_axil_rready = 1;
        for (unsigned i = 0; i < kRegisterCycles && !rules_.broken(); ++i) {
            settle();
            const bool accepted = top_->s_axil_arvalid && top_->s_axil_arready;
            const bool done = top_->s_axil_rvalid;
            const int response = top_->s_axil_rresp;
            *value = top_->s_axil_rdata;
            clock();
            if (accepted) top_->s_axil_arvalid = 0;
            if (!done) continue;
            top_->s_axil_rready = 0;
            return response;
        }
        rules_.broke("the register port doesn't answer a read of offset 0x%x", offset);
        return -1;
    }

    int write_register(uint32_t offset, uint32_t value) {
        top_->s_axil_awaddr = offset;
        top_->s_axil_wdata = value;
        top_->s_axil_wstrb = 15;
        top_->s_axil_awvalid = top_->s_axil_wvalid = top_->s_axil_bready = 1;
        for (unsigned i = 0; i < kRegisterCycles && !rules_.broken(); ++i) {
            settle();
            const bool address = top_->s_axil_awvalid && top_->s_axil_awready;
            const bool data = top_->s_axil_wvalid && top_->s_axil_wready;
            const bool done = top_->s_axil_bvalid;
            const int response = top_->s_axil_bresp;
            clock();
            if (address) top_->s_axil_awvalid = 0;
            if (data) top_->s_axil_wvalid = 0;
            if (!done) continue;
            top_->s_axil_bready = 0;
            return response;
        }
        rules_.broke("the register port doesn't answer a write to offset 0x%x", offset);
        return -1;
    }

    int waves(const char* path, uint64_t first, uint64_t last) {
#if VM_TRACE
        if (vcd_.isOpen()) vcd_.close();
        if (!traced_) top_->trace(&vcd_, 99);
        traced_ = true;
        vcd_.set_time_unit("1ns");
        vcd_.set_time_resolution("1ns");
        vcd_.open(path);
        if (!vcd_.isOpen()) {
            rules_.broke("can't write waves to %s", path);
            return -1;
        }
        first_wave_ = first;
        last_wave_ = last;
        return 0;
#else
        (void)first, (void)last;
        rules_.broke("this library was built without waves, so %s can't be written", path);
        return -1;
#endif
    }

    uint8_t* bytes() { return bytes_; }
    uint64_t cycles() const { return cycle_; }
    gemel_traffic traffic() const {
        gemel_traffic total{};
        for (unsigned port = 0; port < memory_.ports(); ++port) {
            const gemel_traffic one = memory_.traffic(port);
            total.read_bytes += one.read_bytes;
            total.written_bytes += one.written_bytes;
            total.activates += one.activates;
            total.refreshes += one.refreshes;
        }
        return total;
    }
    bool flip(uint64_t address, uint64_t data, uint8_t check) { return memory_.flip(address, data, check); }
    Trace& trace() { return trace_; }

    void sample_every(uint64_t interval) {
        interval_ = interval;
        next_sample_ = interval ? cycle_ : kNever;
        samples_.clear();
    }

    size_t samples(gemel_sample* samples, size_t capacity) {
        const size_t count = std::min(capacity, samples_.size());
        std::copy_n(samples_.begin(), count, samples);
        samples_.erase(samples_.begin(), samples_.begin() + count);
        return count;
    }

    bool flip_read(unsigned port, unsigned bit) { return memory_.flip_read(port, bit); }
    Upsets& upsets() {
        if (!upsets_) upsets_ = std::make_unique<Upsets>(context_);
        return *upsets_;
    }
    const char* error() const { return rules_.sentence().c_str(); }

  private:
    void step() {
        settle();
        clock();
    }

    // The first half of a cycle: inputs are set, outputs settle, transfers are known.
    void settle() {
        memory_.drive(*top_, cycle_);
        top_->clk = 0;
        top_->eval();
        dump(cycle_ * kPeriod + kPeriod / 2);
        if (top_->rst) return;
        memory_.sample(*top_, cycle_, rules_);
#define GEMEL_SAMPLE(name, number) \
    trace_.sample(number, top_->trace_##name##_queued, top_->trace_##name##_start, top_->trace_##name##_stop, top_->trace_##name##_pc, \
                  cycle_);
        GEMEL_UNITS(GEMEL_SAMPLE)
        if (cycle_ >= next_sample_) sample();
    }

    void sample() {
        for (unsigned port = 0; port < memory_.ports(); ++port)
            samples_.push_back({cycle_, port, memory_.traffic(port)});
        next_sample_ = cycle_ + interval_;
    }

    // The second half: the rising edge that begins the next cycle.
    void clock() {
        top_->clk = 1;
        top_->eval();
        ++cycle_;
        dump(cycle_ * kPeriod);
    }

    void dump(uint64_t time) {
#if VM_TRACE
        if (cycle_ < first_wave_ || !vcd_.isOpen()) return;
        if (cycle_ >= last_wave_) vcd_.close();
        else vcd_.dump(time);
#else
        (void)time;
#endif
    }

    VerilatedContext context_;
    std::unique_ptr<Vchip> top_;
    gemel_options options_;
    uint8_t* bytes_;
    ChipMemory memory_;
    Rules rules_;
    Trace trace_;
    std::unique_ptr<Upsets> upsets_;
    uint64_t cycle_ = 0;
#if GEMEL_UPSETS
    struct Snapshot {
        std::vector<uint8_t> model, bytes;
        ChipMemory::Saved memory;
        Trace trace;
        Rules rules;
        uint64_t cycle;
    };
    std::vector<Snapshot> snapshots_;
#endif
    std::deque<gemel_sample> samples_;
    uint64_t interval_ = 0, next_sample_ = kNever;
#if VM_TRACE
    VerilatedVcdC vcd_;
    bool traced_ = false;
    uint64_t first_wave_ = 0, last_wave_ = 0;
#endif
};

gemel_chip* gemel_new(const gemel_options* options) {
    const uint64_t mapped = ChipMemory::mapped(options->memory_bytes);
    void* bytes = mapped ? map_memory(mapped) : MAP_FAILED;
    if (bytes == MAP_FAILED) {
        creation_error = "can't map " + std::to_string(options->memory_bytes) + " bytes of device memory";
        if (!mapped) creation_error += ": the chip's DRAM has less";
        return nullptr;
    }
    return new gemel_chip(*options, static_cast<uint8_t*>(bytes));
}

void gemel_free(gemel_chip* chip) { delete chip; }
uint8_t* gemel_memory(gemel_chip* chip) { return chip->bytes(); }
void gemel_configure(gemel_chip* chip, const gemel_options* options) { chip->configure(*options); }
void gemel_reset(gemel_chip* chip) { chip->reset(); }
int gemel_read_register(gemel_chip* chip, uint32_t offset, uint32_t* value) { return chip->read_register(offset, value); }
int gemel_write_register(gemel_chip* chip, uint32_t offset, uint32_t value) { return chip->write_register(offset, value); }
int gemel_run(gemel_chip* chip, uint64_t cycles, int until_interrupt) { return chip->run(cycles, until_interrupt != 0); }
int gemel_settle(gemel_chip* chip) { return chip->settled(); }
uint64_t gemel_cycles(const gemel_chip* chip) { return chip->cycles(); }
gemel_traffic gemel_bus_traffic(const gemel_chip* chip) { return chip->traffic(); }
size_t gemel_events(gemel_chip* chip, gemel_event* events, size_t capacity) { return chip->trace().take(events, capacity); }
void gemel_sample_every(gemel_chip* chip, uint64_t interval) { chip->sample_every(interval); }
size_t gemel_samples(gemel_chip* chip, gemel_sample* samples, size_t capacity) { return chip->samples(samples, capacity); }
const char* gemel_error(const gemel_chip* chip) { return chip ? chip->error() : creation_error.c_str(); }
int gemel_flip(gemel_chip* chip, uint64_t address, uint64_t data, uint8_t check) {
    return chip->flip(address, data, check) ? 0 : -1;
}
int gemel_waves(gemel_chip* chip, const char* path, uint64_t first, uint64_t last) { return chip->waves(path, first, last); }
int gemel_state(gemel_chip* chip, size_t index, char* name, size_t capacity, uint32_t* bits, uint32_t* entries) {
    const Upsets::State* state = chip->upsets().find(index);
    if (!state) return 0;
    name[state->name.copy(name, capacity - 1)] = 0;
    *bits = state->bits;
    *entries = state->entries;
    return 1;
}
size_t gemel_save(gemel_chip* chip) { return chip->save(); }
int gemel_restore(gemel_chip* chip, size_t number) { return chip->restore(number) ? 0 : -1; }
int gemel_upset(gemel_chip* chip, size_t index, uint32_t entry, uint32_t bit) {
    return chip->upsets().flip(index, entry, bit) ? 0 : -1;
}
int gemel_flip_read(gemel_chip* chip, uint32_t port, uint32_t bit) { return chip->flip_read(port, bit) ? 0 : -1; }
