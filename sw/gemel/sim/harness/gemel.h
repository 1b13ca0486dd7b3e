// The C interface of a simulated chip, as gemel.sim.library calls it.
#pragma once
#include <stddef.h>
#include <stdint.h>

#define GEMEL_API extern "C" __attribute__((visibility("default")))

enum { GEMEL_CHANNELS = 5 };  // AR, R, AW, W, B

struct gemel_options {
    uint64_t memory_bytes;     // device memory, at bus addresses 0 .. memory_bytes - 1
    uint64_t seed;             // of the random stalls and orders
    uint32_t latency;          // cycles from an accepted address to its first data, from the last data to its response; >= 1
    uint32_t bandwidth_bytes;  // bytes moved, each way, in
    uint32_t bandwidth_cycles; // so many cycles
    uint32_t reorder;          // bursts of different ids overtake each other and interleave at random
    double stalls[GEMEL_CHANNELS];  // probability in each cycle that a channel's ready (AR, AW, W) or new valid (R, B) is held low
};

struct gemel_event {  // one instruction in one unit
    uint32_t unit;    // isa.Unit + 16 * core
    uint32_t pc;
    uint64_t queued;  // cycles
    uint64_t start;
    uint64_t stop;
};

struct gemel_traffic {
    uint64_t read_bytes;     // bytes moved over the memory port since reset
    uint64_t written_bytes;
    uint64_t activates;      // of DRAM: rows opened, and refreshes
    uint64_t refreshes;
};

struct gemel_sample {         // one memory port's traffic at one time
    uint64_t cycle;
    uint64_t port;
    gemel_traffic traffic;    // since reset
};

struct gemel_chip;

// A chip out of reset, or null with gemel_error(nullptr) saying why.
GEMEL_API gemel_chip* gemel_new(const gemel_options* options);
GEMEL_API void gemel_free(gemel_chip* chip);
// Device memory, readable and writable between calls; of what the chip wrote all that it had answered at the last gemel_settle is
// there, or when gemel_run returned 1.
GEMEL_API uint8_t* gemel_memory(gemel_chip* chip);
// New latency, bandwidth, order and stalls from now on; memory_bytes is ignored.
GEMEL_API void gemel_configure(gemel_chip* chip, const gemel_options* options);
// Reset the chip, not the memory; transfers under way are forgotten. The cycle count goes on.
GEMEL_API void gemel_reset(gemel_chip* chip);
// One AXI4-Lite access: its response (0 okay, 2 or 3 an error), or -1 after a broken rule (gemel_error).
GEMEL_API int gemel_read_register(gemel_chip* chip, uint32_t offset, uint32_t* value);
GEMEL_API int gemel_write_register(gemel_chip* chip, uint32_t offset, uint32_t value);
// Run at most `cycles`: 1 the interrupt line is high, 0 all cycles are done, -1 a bus rule was broken (gemel_error).
GEMEL_API int gemel_run(gemel_chip* chip, uint64_t cycles, int until_interrupt);
// Run until memory has all writes that the chip has answered by now, a few cycles with DRAM: 1, or -1 after a broken rule.
GEMEL_API int gemel_settle(gemel_chip* chip);
// Flip stored bits of the 64-bit word at `address` in DRAM, of its data and of its check bits: 0, or -1 in an ideal memory.
GEMEL_API int gemel_flip(gemel_chip* chip, uint64_t address, uint64_t data, uint8_t check);
// The stored state number `index` of a build with upsets: its name, as far as `capacity` goes, bits of an entry and entries.
// 0 when there are fewer.
GEMEL_API int gemel_state(gemel_chip* chip, size_t index, char* name, size_t capacity, uint32_t* bits, uint32_t* entries);
// Remember everything as it is between two cycles, in a build with upsets: chip, device memory, transfers under way, clock.
// The number to name it by, from 0 on; SIZE_MAX in other builds.
GEMEL_API size_t gemel_save(gemel_chip* chip);
// Everything as it was when `number` was saved: 0, or -1 when nothing was.
GEMEL_API int gemel_restore(gemel_chip* chip, size_t number);
// Turn one stored bit over, between two cycles: 0, or -1 when there is no such bit.
GEMEL_API int gemel_upset(gemel_chip* chip, size_t index, uint32_t entry, uint32_t bit);
// Turn bit `bit` of the next beat of read data at memory port `port` over on its way to the chip; of DRAM, of the next
// access, whose check bits follow its data. 0, or -1 without such a port.
GEMEL_API int gemel_flip_read(gemel_chip* chip, uint32_t port, uint32_t bit);
// Clock cycles since the first reset.
GEMEL_API uint64_t gemel_cycles(const gemel_chip* chip);
GEMEL_API gemel_traffic gemel_bus_traffic(const gemel_chip* chip);
// Move up to `capacity` finished events out, oldest first; how many. Once none is left, instructions begun are forgotten.
GEMEL_API size_t gemel_events(gemel_chip* chip, gemel_event* events, size_t capacity);
// Note every port's traffic now and then every `interval` cycles, 0: no more; what has been noted is forgotten.
GEMEL_API void gemel_sample_every(gemel_chip* chip, uint64_t interval);
// Move up to `capacity` samples out, oldest first; how many.
GEMEL_API size_t gemel_samples(gemel_chip* chip, gemel_sample* samples, size_t capacity);
// The sentence that describes what stopped the chip; empty when nothing did.
GEMEL_API const char* gemel_error(const gemel_chip* chip);
// Write cycles first .. last - 1 into a VCD file at `path`: 0, or -1 (gemel_error) in a build without waves or when it can't open.
GEMEL_API int gemel_waves(gemel_chip* chip, const char* path, uint64_t first, uint64_t last);
