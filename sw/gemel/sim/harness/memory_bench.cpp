// A DRAM controller alone (Vchip is gemel_memory here), its DRAM, and an AXI4 manager that works off a list of requests.
#include "memory_bench.h"

#include <sys/mman.h>

#include <memory>
#include <vector>

#include "Vchip.h"
#include "dfi.h"
#include "dram_table.h"
#include "verilated.h"

namespace {

constexpr unsigned kBeat = 64;
constexpr uint64_t kChannelBytes = uint64_t{1} << 31;  // more than any channel has; untouched pages cost nothing
GEMEL_DFI_PORT(Dfi, dfi_)

struct Write {
    uint64_t address;
    uint8_t data[kBeat];
    uint64_t strobe;
    bool last;
};

struct Burst {
    uint64_t address;
    unsigned beats, done;
    uint64_t accepted;
};

}  // namespace

struct bench {
    explicit bench(uint64_t bytes, uint8_t* memory) : size_(bytes), memory_(memory) {
        context_.threads(1);
        top_ = std::make_unique<Vchip>(&context_);
        top_->s_axi_arvalid = top_->s_axi_awvalid = top_->s_axi_wvalid = 0;
        top_->s_axi_rready = top_->s_axi_bready = 0;
        top_->dfi_read_valid = 0;
        top_->rst = 1;
        for (int i = 0; i < 4; ++i) edge();
        top_->rst = 0;
        dram_ = std::make_unique<DramChannel>(kDram, 0, memory_, kChannelBytes, flips_);
    }
    ~bench() {
        top_->final();
        munmap(memory_, kChannelBytes);
    }

    void run(const bench_request* list, size_t count, const bench_options& options, bench_result& result) {
        options_ = options;
        random_ = options.seed * 0x9E3779B97F4A7C15u + 0x2545F4914F6CDD1Du;
        expected_.assign(memory_, memory_ + size_);
        list_ = list;
        count_ = count;
        next_[0] = next_[1] = 0;
        result_ = &result;
        const uint64_t begin = cycle_;
        skip(0), skip(1);
        while (!rules_.broken() && (next_[0] < count || next_[1] < count || under_way_[0] || under_way_[1] ||
                                    !beats_.empty() || top_->dirty)) {
            if (cycle_ - begin >= options.limit) {
                rules_.broke("not done after %" PRIu64 " cycles", options.limit);
                break;
            }
            step();
        }
        result.cycles = cycle_ - begin;
        finish(result);
        for (uint64_t i = 0; i < size_; ++i) result.wrong += memory_[i] != expected_[i];
    }

    void idle(uint64_t cycles, bench_result& result) {
        options_ = {};
        count_ = 0;
        result_ = &result;
        for (uint64_t i = 0; i < cycles && !rules_.broken(); ++i) step();
        result.cycles = cycles;
        finish(result);
    }

    uint8_t* memory() { return memory_; }
    DramFlips& flips() { return flips_; }

  private:
    enum { AR, R, AW, W, B };

    void finish(bench_result& result) {
        result.row_hits = top_->count_row_hits;
        result.row_misses = top_->count_row_misses;
        result.row_conflicts = top_->count_row_conflicts;
        result.refreshes = top_->count_refreshes;
        result.corrected = top_->count_corrected;
        result.uncorrectable = top_->count_uncorrectable;
        snprintf(result.sentence, sizeof result.sentence, "%s", rules_.sentence().c_str());
    }

    uint64_t next_random() {
        random_ ^= random_ << 13;
        random_ ^= random_ >> 7;
        return random_ ^= random_ << 17;
    }
    bool stalled(int channel) {
        return options_.stalls[channel] > 0 && (next_random() >> 11) * 0x1p-53 < options_.stalls[channel];
    }

    void skip(unsigned write) {  // to the next request of this kind
        while (next_[write] < count_ && list_[next_[write]].write != write) ++next_[write];
    }
    // Whether the next read (or write) may go: enough of the other kind has, and nothing under way touches its bytes.
    bool may_go(unsigned write) {
        if (next_[write] >= count_ || under_way_[write] >= options_.outstanding) return false;
        if (next_[write] > next_[!write] + options_.lead) return false;
        const bench_request& r = list_[next_[write]];
        for (unsigned i = 0; i < r.beats; ++i) {
            const auto found = busy_.find(r.address + i * kBeat);
            if (found != busy_.end() && (write ? found->second : found->second >> 16)) return false;
        }
        return true;
    }
    void touch(const bench_request& r, uint32_t change) {
        for (unsigned i = 0; i < r.beats; ++i) {
            uint32_t& uses = busy_[r.address + i * kBeat];
            uses += change;
            if (!uses) busy_.erase(r.address + i * kBeat);
        }
    }

    void offer_addresses() {
        if (!top_->s_axi_arvalid && !stalled(AR) && may_go(0)) {
            const bench_request& r = list_[next_[0]];
            top_->s_axi_arvalid = 1;
            top_->s_axi_araddr = r.address;
            top_->s_axi_arlen = r.beats - 1;
            top_->s_axi_arid = id_[0]++ % options_.ids;
            touch(r, 1);
            ++under_way_[0];
            ++next_[0];
            skip(0);
        }
        if (!top_->s_axi_awvalid && !stalled(AW) && may_go(1)) {
            const bench_request& r = list_[next_[1]];
            top_->s_axi_awvalid = 1;
            top_->s_axi_awaddr = r.address;
            top_->s_axi_awlen = r.beats - 1;
            top_->s_axi_awid = id_[1]++ % options_.ids;
            touch(r, 1 << 16);
            ++under_way_[1];
            ++next_[1];
            skip(1);
            for (unsigned i = 0; i < r.beats; ++i) make_beat(r.address + i * kBeat, i + 1 == r.beats);
        }
    }
    void make_beat(uint64_t address, bool last) {
        Write beat{address, {}, ~uint64_t{0}, last};
        for (unsigned i = 0; i < kBeat; i += 8) {
            const uint64_t word = next_random();
            memcpy(beat.data + i, &word, 8);
        }
        if (options_.partial) switch (next_random() >> 60) {
            case 0: beat.strobe = 0; break;
            case 1: case 2: case 3: break;
            case 4: case 5: case 6: beat.strobe = (uint64_t{1} << (next_random() >> 58)) - 1; break;
            default: beat.strobe = next_random();
        }
        for (unsigned i = 0; i < kBeat; ++i)
            if (beat.strobe >> i & 1) expected_[address + i] = beat.data[i];
        beats_.push_back(beat);
    }

    void step() {
        offer_addresses();
        if (!top_->s_axi_wvalid && !beats_.empty() && !stalled(W)) {
            top_->s_axi_wvalid = 1;
            memcpy(&top_->s_axi_wdata[0], beats_.front().data, kBeat);
            top_->s_axi_wstrb = beats_.front().strobe;
            top_->s_axi_wlast = beats_.front().last;
        }
        top_->s_axi_rready = !stalled(R);
        top_->s_axi_bready = !stalled(B);
        const Dfi<Vchip> dfi{*top_};
        dfi.drive(*dram_, cycle_);
        top_->clk = 0;
        top_->eval();
        const bool ar = top_->s_axi_arvalid && top_->s_axi_arready, aw = top_->s_axi_awvalid && top_->s_axi_awready;
        const bool w = top_->s_axi_wvalid && top_->s_axi_wready;
        if (ar) reading_[top_->s_axi_arid].push_back({top_->s_axi_araddr, top_->s_axi_arlen + 1u, 0, cycle_});
        if (aw) writing_[top_->s_axi_awid].push_back({top_->s_axi_awaddr, top_->s_axi_awlen + 1u, 0, cycle_});
        if (top_->s_axi_rvalid && top_->s_axi_rready) take_beat();
        if (top_->s_axi_bvalid && top_->s_axi_bready) take_answer();
        dfi.sample(*dram_, cycle_, rules_);
        edge();
        ++cycle_;
        if (ar) top_->s_axi_arvalid = 0;
        if (aw) top_->s_axi_awvalid = 0;
        if (w) {
            top_->s_axi_wvalid = 0;
            beats_.pop_front();
            result_->bytes += kBeat;
        }
    }

    void take_beat() {
        std::deque<Burst>& bursts = reading_[top_->s_axi_rid];
        if (bursts.empty()) return rules_.broke("R of id %u, which asked for nothing", top_->s_axi_rid);
        Burst& burst = bursts.front();
        const uint64_t place = burst.address + burst.done++ * kBeat;
        const bool last = burst.done == burst.beats;
        if (top_->s_axi_rlast != last) rules_.broke("R last is %d at 0x%" PRIx64, top_->s_axi_rlast, place);
        result_->bytes += kBeat;
        result_->slave_errors += top_->s_axi_rresp == 2;
        result_->decode_errors += top_->s_axi_rresp == 3;
        if (!top_->s_axi_rresp) {
            const uint8_t* got = reinterpret_cast<const uint8_t*>(&top_->s_axi_rdata[0]);
            for (unsigned i = 0; i < kBeat; ++i) result_->wrong += got[i] != expected_[place + i];
        }
        if (!last) return;
        result_->latency = std::max<uint64_t>(result_->latency, cycle_ - burst.accepted);
        touch({burst.address, burst.beats, 0}, -1);
        --under_way_[0];
        bursts.pop_front();
    }
    void take_answer() {
        std::deque<Burst>& bursts = writing_[top_->s_axi_bid];
        if (bursts.empty()) return rules_.broke("B of id %u, which wrote nothing", top_->s_axi_bid);
        result_->slave_errors += top_->s_axi_bresp == 2;
        result_->decode_errors += top_->s_axi_bresp == 3;
        touch({bursts.front().address, bursts.front().beats, 1}, -(1u << 16));
        --under_way_[1];
        bursts.pop_front();
    }

    void edge() {
        top_->clk = 1;
        top_->eval();
        top_->clk = 0;
        if (top_->rst) top_->eval();
    }

    VerilatedContext context_;
    std::unique_ptr<Vchip> top_;
    uint64_t size_;
    uint8_t* memory_;
    std::vector<uint8_t> expected_;
    DramFlips flips_;
    std::unique_ptr<DramChannel> dram_;
    Rules rules_;
    bench_options options_{};
    bench_result* result_ = nullptr;
    const bench_request* list_ = nullptr;
    size_t count_ = 0, next_[2] = {};
    unsigned under_way_[2] = {}, id_[2] = {};
    std::deque<Write> beats_;
    std::deque<Burst> reading_[256], writing_[256];
    std::unordered_map<uint64_t, uint32_t> busy_;  // beat -> reads under way + writes under way << 16
    uint64_t random_ = 1, cycle_ = 0;
};

bench* bench_new(uint64_t bytes) {
    void* memory = mmap(nullptr, kChannelBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : new bench(bytes, static_cast<uint8_t*>(memory));
}
void bench_free(bench* b) { delete b; }
uint8_t* bench_memory(bench* b) { return b->memory(); }
void bench_flip(bench* b, uint64_t address, uint64_t data, uint8_t check) {
    DramFlip& flip = b->flips()[address];
    flip.data ^= data;
    flip.check ^= check;
}
size_t bench_flips(bench* b) { return b->flips().size(); }
void bench_run(bench* b, const bench_request* requests, size_t count, const bench_options* options, bench_result* result) {
    *result = {};
    b->run(requests, count, *options, *result);
}
void bench_idle(bench* b, uint64_t cycles, bench_result* result) {
    *result = {};
    b->idle(cycles, *result);
}
