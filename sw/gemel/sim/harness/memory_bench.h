// The C interface of the memory bench: one DRAM controller alone, traffic from a list, every byte checked.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define BENCH_API extern "C" __attribute__((visibility("default")))

struct bench_request {
    uint64_t address;  // multiple of 64
    uint32_t beats;    // of 64 bytes, within 4 KB
    uint32_t write;
};

struct bench_options {
    uint64_t seed;         // of written data, strobes and stalls
    uint64_t limit;        // cycles, at most
    uint32_t outstanding;  // bursts under way, of reads and of writes each
    uint32_t ids;          // AXI IDs in use, in turn
    uint32_t lead;         // requests by which reads and writes may part from the list's order
    uint32_t partial;      // writes have random strobes
    double stalls[5];      // probability in a cycle that AR, R, AW, W, B is held back
};

struct bench_result {
    uint64_t cycles;  // from the first address offered to the last byte read, answered and written
    uint64_t bytes;   // moved on R and W
    uint64_t wrong;   // bytes read that aren't what was written last
    uint64_t slave_errors, decode_errors;  // beats of R and answers on B
    uint64_t row_hits, row_misses, row_conflicts, refreshes, corrected, uncorrectable;
    uint64_t latency;  // longest, of reads, from address taken to last beat
    char sentence[256];
};

struct bench;
BENCH_API bench* bench_new(uint64_t bytes);  // bytes: what memory() shows of the channel
BENCH_API void bench_free(bench* b);
BENCH_API uint8_t* bench_memory(bench* b);
// Flip stored bits of the 64-bit word at `address`.
BENCH_API void bench_flip(bench* b, uint64_t address, uint64_t data, uint8_t check);
// How many words differ from what was written.
BENCH_API size_t bench_flips(bench* b);
// Run the list to its end; the controller's state and counters go on from run to run.
BENCH_API void bench_run(bench* b, const bench_request* requests, size_t count, const bench_options* options,
                         bench_result* result);
// Let clocks pass without requests.
BENCH_API void bench_idle(bench* b, uint64_t cycles, bench_result* result);
