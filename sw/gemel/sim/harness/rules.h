// The rules that a bus manager must keep: the first one broken becomes a sentence.
#pragma once
#include <cinttypes>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

class Rules {
  public:
    const std::string& sentence() const { return sentence_; }
    bool broken() const { return !sentence_.empty(); }

    __attribute__((format(printf, 2, 3))) void broke(const char* format, ...) {
        if (broken()) return;
        char text[256];
        va_list values;
        va_start(values, format);
        vsnprintf(text, sizeof text, format, values);
        va_end(values);
        sentence_ = text;
    }

    // An address: 64-byte beats, incrementing, within one 4 KB page.
    void burst(const char* channel, uint64_t cycle, uint64_t address, unsigned beats, unsigned size, unsigned type) {
        if (size != 6) broke("cycle %" PRIu64 ": %s size is %u, not 6 (64 bytes)", cycle, channel, size);
        if (type != 1) broke("cycle %" PRIu64 ": %s burst type is %u, not 1 (INCR)", cycle, channel, type);
        if ((address & 4095) / 64 + beats > 64)
            broke("cycle %" PRIu64 ": %s burst of %u beats at 0x%" PRIx64 " crosses a 4 KB boundary", cycle, channel, beats,
                  address);
    }

  private:
    std::string sentence_;
};

// Valid and payload hold until ready.
template <class Payload>
class Held {
  public:
    void check(Rules& rules, const char* channel, uint64_t cycle, bool valid, bool ready, const Payload& payload) {
        if (waiting_ && !valid) rules.broke("cycle %" PRIu64 ": %s valid fell before ready came", cycle, channel);
        if (waiting_ && valid && !(last_ == payload))
            rules.broke("cycle %" PRIu64 ": %s payload changed before ready came", cycle, channel);
        waiting_ = valid && !ready;
        if (waiting_) last_ = payload;
    }

  private:
    bool waiting_ = false;
    Payload last_{};
};
