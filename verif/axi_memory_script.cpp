// Drives the simulator's AXI memory with a script, a line per cycle, and prints what it drives (see test_axi_memory.py).
#include "axi_memory.h"
#include "ports.h"

#include <iostream>
#include <sstream>

struct Top {  // the members of a Verilated chip that the memory uses
    uint64_t m_axi0_araddr = 0, m_axi0_awaddr = 0, m_axi0_wstrb = 0;
    unsigned m_axi0_arlen = 0, m_axi0_arid = 0, m_axi0_arsize = 6, m_axi0_arburst = 1, m_axi0_arvalid = 0, m_axi0_arready = 0;
    unsigned m_axi0_awlen = 0, m_axi0_awid = 0, m_axi0_awsize = 6, m_axi0_awburst = 1, m_axi0_awvalid = 0, m_axi0_awready = 0;
    unsigned m_axi0_wlast = 0, m_axi0_wvalid = 0, m_axi0_wready = 0;
    unsigned m_axi0_rid = 0, m_axi0_rresp = 0, m_axi0_rlast = 0, m_axi0_rvalid = 0, m_axi0_rready = 1;
    unsigned m_axi0_bid = 0, m_axi0_bresp = 0, m_axi0_bvalid = 0, m_axi0_bready = 1;
    uint32_t m_axi0_rdata[16] = {}, m_axi0_wdata[16] = {};
};

GEMEL_AXI_PORT(Port, m_axi0_)

// Arguments: memory bytes, latency, bandwidth's bytes and cycles, reorder, seed, stall probability of R and B.
// A line holds words name=value for the inputs of the memory in that cycle; valid inputs fall by themselves.
int main(int, char** argv) {
    gemel_options options{};
    const uint64_t size = std::stoull(argv[1]);
    options.latency = std::stoul(argv[2]);
    options.bandwidth_bytes = std::stoul(argv[3]);
    options.bandwidth_cycles = std::stoul(argv[4]);
    options.reorder = std::stoul(argv[5]);
    options.seed = std::stoul(argv[6]);
    options.stalls[1] = options.stalls[4] = std::stod(argv[7]);
    std::vector<uint8_t> bytes(size);
    for (uint64_t i = 0; i < size; ++i) bytes[i] = i / 64;
    AxiMemory memory(bytes.data(), size);
    memory.configure(options);
    Rules rules;
    Top top;
    std::string line;
    for (uint64_t cycle = 0; std::getline(std::cin, line) && !rules.broken(); ++cycle) {
        top.m_axi0_arvalid = top.m_axi0_awvalid = top.m_axi0_wvalid = 0;
        std::istringstream words(line);
        for (std::string word; words >> word;) {
            const std::string name = word.substr(0, word.find('='));
            const uint64_t value = std::stoull(word.substr(word.find('=') + 1), nullptr, 0);
            if (name == "araddr") top.m_axi0_araddr = value, top.m_axi0_arvalid = 1;
            if (name == "arlen") top.m_axi0_arlen = value;
            if (name == "arid") top.m_axi0_arid = value;
            if (name == "arsize") top.m_axi0_arsize = value;
            if (name == "awaddr") top.m_axi0_awaddr = value, top.m_axi0_awvalid = 1;
            if (name == "awlen") top.m_axi0_awlen = value;
            if (name == "awburst") top.m_axi0_awburst = value;
            if (name == "wdata") top.m_axi0_wvalid = 1, memset(top.m_axi0_wdata, int(value), 64);
            if (name == "wstrb") top.m_axi0_wstrb = value;
            if (name == "wlast") top.m_axi0_wlast = value;
            if (name == "rready") top.m_axi0_rready = value;
        }
        memory.drive(Port<Top>{top}, cycle);
        std::cout << cycle << " ar" << top.m_axi0_arready << " aw" << top.m_axi0_awready << " w" << top.m_axi0_wready;
        if (top.m_axi0_rvalid)
            std::cout << " r:" << top.m_axi0_rid << ':' << (top.m_axi0_rdata[0] & 255) << ':' << top.m_axi0_rresp << ':'
                      << top.m_axi0_rlast;
        if (top.m_axi0_bvalid) std::cout << " b:" << top.m_axi0_bresp;
        std::cout << '\n';
        memory.sample(Port<Top>{top}, cycle, rules);
    }
    std::cout << rules.sentence() << '\n';
}
