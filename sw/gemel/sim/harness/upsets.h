// Stored bits of the chip that a build with upsets can flip: Verilator's table of variables that may be written from outside.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "gemel.h"
#include "verilated.h"
#include "verilated_sym_props.h"
#include "verilated_syms.h"

class Upsets {
  public:
    struct State {
        std::string name;  // path of the module, a dot, the variable
        uint32_t bits;     // of an entry
        uint32_t entries;
        uint8_t* data;
        size_t stride;  // bytes of an entry
    };

    // In the order of their names, whatever the order of Verilator's table.
    explicit Upsets(VerilatedContext& context) {
        const VerilatedScopeNameMap* scopes = context.scopeNameMap();
        if (!scopes) return;
        for (const auto& [path, scope] : *scopes) {
            if (!scope->varsp()) continue;
            for (auto& [name, variable] : *scope->varsp()) {
                if (!variable.isPublicRW()) continue;
                const uint32_t entries = variable.udims() ? variable.elements(1) : 1;
                const uint32_t bits = variable.entBits();
                states_.push_back({std::string(path) + "." + name, bits, entries, static_cast<uint8_t*>(variable.datap()),
                                   variable.totalSize() / entries});
            }
        }
        std::sort(states_.begin(), states_.end(), [](const State& a, const State& b) { return a.name < b.name; });
    }

    const State* find(size_t index) const { return index < states_.size() ? &states_[index] : nullptr; }

    // Turn bit `bit` of entry `entry` over; whether there is one.
    bool flip(size_t index, uint32_t entry, uint32_t bit) {
        const State* state = find(index);
        if (!state || entry >= state->entries || bit >= state->bits) return false;
        state->data[entry * state->stride + bit / 8] ^= 1u << bit % 8;
        return true;
    }

  private:
    std::vector<State> states_;
};
