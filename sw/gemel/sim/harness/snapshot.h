// A Verilated model's stored bits, in memory: what Verilator writes of a model built with --savable, and reads again.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "verilated.h"
#include "verilated_save.h"

class StateWriter final : public VerilatedSerialize {
  public:
    void flush() override {
        bytes_.insert(bytes_.end(), m_bufp, m_cp);
        m_cp = m_bufp;
    }
    std::vector<uint8_t> take() {
        flush();
        return std::move(bytes_);
    }

  private:
    std::vector<uint8_t> bytes_;
};

class StateReader final : public VerilatedDeserialize {
  public:
    explicit StateReader(const std::vector<uint8_t>& bytes) : next_(bytes.data()), end_(next_ + bytes.size()) {
        m_endp = m_bufp;
    }
    void fill() override {
        m_endp = std::copy(m_cp, m_endp, m_bufp);
        m_cp = m_bufp;
        const size_t count = std::min<size_t>(end_ - next_, m_bufp + bufferSize() - m_endp);
        m_endp = std::copy_n(next_, count, m_endp);
        next_ += count;
    }

  private:
    const uint8_t *next_, *end_;
};

template <class Model>
std::vector<uint8_t> save_model(Model& model) {
    StateWriter writer;
    writer << model;
    return writer.take();
}

template <class Model>
void restore_model(Model& model, const std::vector<uint8_t>& bytes) {
    StateReader reader(bytes);
    reader >> model;
}
