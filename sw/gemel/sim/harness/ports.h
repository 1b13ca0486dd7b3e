// Names the signals of an AXI4 port of the chip, so that one memory model serves every port.
#pragma once

#define GEMEL_AXI_WIRE(prefix, signal) \
    auto& signal() const { return top.prefix##signal; }

// `Name<Top>{top}` is the port of `top` whose signals begin with `prefix`.
#define GEMEL_AXI_PORT(Name, prefix)  \
    template <class Top>              \
    struct Name {                     \
        Top& top;                     \
        GEMEL_AXI_WIRE(prefix, araddr)  \
        GEMEL_AXI_WIRE(prefix, arlen)   \
        GEMEL_AXI_WIRE(prefix, arid)    \
        GEMEL_AXI_WIRE(prefix, arsize)  \
        GEMEL_AXI_WIRE(prefix, arburst) \
        GEMEL_AXI_WIRE(prefix, arvalid) \
        GEMEL_AXI_WIRE(prefix, arready) \
        GEMEL_AXI_WIRE(prefix, rdata)   \
        GEMEL_AXI_WIRE(prefix, rid)     \
        GEMEL_AXI_WIRE(prefix, rresp)   \
        GEMEL_AXI_WIRE(prefix, rlast)   \
        GEMEL_AXI_WIRE(prefix, rvalid)  \
        GEMEL_AXI_WIRE(prefix, rready)  \
        GEMEL_AXI_WIRE(prefix, awaddr)  \
        GEMEL_AXI_WIRE(prefix, awlen)   \
        GEMEL_AXI_WIRE(prefix, awid)    \
        GEMEL_AXI_WIRE(prefix, awsize)  \
        GEMEL_AXI_WIRE(prefix, awburst) \
        GEMEL_AXI_WIRE(prefix, awvalid) \
        GEMEL_AXI_WIRE(prefix, awready) \
        GEMEL_AXI_WIRE(prefix, wdata)   \
        GEMEL_AXI_WIRE(prefix, wstrb)   \
        GEMEL_AXI_WIRE(prefix, wlast)   \
        GEMEL_AXI_WIRE(prefix, wvalid)  \
        GEMEL_AXI_WIRE(prefix, wready)  \
        GEMEL_AXI_WIRE(prefix, bid)     \
        GEMEL_AXI_WIRE(prefix, bresp)   \
        GEMEL_AXI_WIRE(prefix, bvalid)  \
        GEMEL_AXI_WIRE(prefix, bready)  \
    };
