// Drives the simulator's DRAM with a trace and prints the broken rule, or an empty line (see test_dram.py).
#include "dram_table.h"

#include <iostream>
#include <vector>

// Each line: clock, row command, bank, row, column command, bank, column, write valid; clocks ascend. Data are zero.
int main() {
    std::vector<uint8_t> bytes(1 << 20);
    DramFlips flips;
    DramChannel channel(kDram, 0, bytes.data(), bytes.size(), flips);
    Rules rules;
    const uint64_t data[8] = {};
    const uint8_t check[8] = {};
    int64_t now = 0, cycle;
    DfiCommand c{};
    while (!rules.broken() && std::cin >> cycle >> c.row_command >> c.row_bank >> c.row >> c.column_command >>
                                  c.column_bank >> c.column >> c.write_valid) {
        c.write_data = data;
        c.write_check = check;
        for (; now < cycle && !rules.broken(); ++now) {
            channel.drive(now);
            channel.sample(now, DfiCommand{}, rules);
        }
        if (rules.broken()) break;
        channel.drive(now);
        channel.sample(now++, c, rules);
    }
    std::cout << rules.sentence() << '\n';
}
