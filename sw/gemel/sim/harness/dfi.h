// Joins the DFI-like port of a Verilated top to a DramChannel.
#pragma once
#include "dram.h"

// `Name<Top>{top}` is the port of `top` whose signals begin with `prefix`.
#define GEMEL_DFI_PORT(Name, prefix)                                                                         \
    template <class Top>                                                                                     \
    struct Name {                                                                                            \
        Top& top;                                                                                            \
        void drive(DramChannel& dram, int64_t cycle) const {                                                 \
            top.prefix##read_valid = dram.drive(cycle);                                                      \
            if (!top.prefix##read_valid) return;                                                             \
            memcpy(&top.prefix##read_data[0], dram.data(), sizeof top.prefix##read_data);                    \
            memcpy(&top.prefix##read_check, dram.check(), sizeof top.prefix##read_check);                    \
        }                                                                                                    \
        void sample(DramChannel& dram, int64_t cycle, Rules& rules) const {                                  \
            uint64_t data[8];                                                                                \
            uint8_t check[8];                                                                                \
            if (top.prefix##write_valid) {                                                                   \
                memcpy(data, &top.prefix##write_data[0], sizeof top.prefix##write_data);                     \
                memcpy(check, &top.prefix##write_check, sizeof top.prefix##write_check);                     \
            }                                                                                                \
            dram.sample(cycle,                                                                               \
                        {top.prefix##row_command, top.prefix##row_bank, top.prefix##row,                     \
                         top.prefix##column_command, top.prefix##column_bank, top.prefix##column,            \
                         top.prefix##write_valid != 0, data, check},                                         \
                        rules);                                                                              \
        }                                                                                                    \
    };
