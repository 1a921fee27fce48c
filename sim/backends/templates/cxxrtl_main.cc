// Simulation executable of the cxxrtl backend: [WAVES.vcd] JOB_FOLDER

#include "design.h"
#include "driver.h"

#if OHMWEAVE_WAVES
#include <cxxrtl/cxxrtl_vcd.h>
#include <fstream>
#endif

// E(0) E(1) … for all entries.
#define OHMWEAVE_ENTRIES @ENTRIES@

using namespace cxxrtl;

template<size_t Bits> static const value<Bits> &now(const value<Bits> &port) { return port; }
template<size_t Bits> static const value<Bits> &now(const wire<Bits> &port) { return port.curr; }
template<size_t Bits> static constexpr int width(const value<Bits> *) { return Bits; }
template<size_t Bits> static constexpr int width(const wire<Bits> *) { return Bits; }

#define E(n) + 1
static constexpr int ENTRY_COUNT = 0 OHMWEAVE_ENTRIES;
#undef E

#if OHMWEAVE_ACTIVITY
// The whole chip, which no gate stands before, and whether it runs: not while it is configured.
struct Watched : Top {
	Watched() {
		ohmweave::activity().instances.push_back({"", "@TOP@", static_cast<Top *>(this), Top::values, nullptr});
	}
};
#endif

struct Chip {
	static constexpr int COUNTED_BITS = width((decltype(Top::p_@COUNTED@) *)nullptr), ENTRIES = ENTRY_COUNT;
#if OHMWEAVE_ACTIVITY
	Watched top;
	bool running = false;
#else
	Top top;
#endif
#if OHMWEAVE_WAVES
	vcd_writer vcd;
	std::ofstream waves;
	uint64_t time = 0;

	explicit Chip(const char *path) : waves(path) {
		debug_items items;
		top.debug_info(&items, nullptr, "");
		// There is one clock; parts of the chip that are evaluated on their own see it as a constant.
		for (auto &item : items.table)
			if (item.first == "clk" || (item.first.size() > 4 && item.first.substr(item.first.size() - 4) == " clk"))
				for (auto &part : item.second)
					part.curr = top.p_clk.data;
		vcd.timescale(5, "ns");
		vcd.add_without_memories(items);
	}

	void sample() {
		vcd.sample(time++);
		waves << vcd.buffer;
		vcd.buffer.clear();
	}
#else
	explicit Chip(const char *) {}
	void sample() {}
#endif

	// Data and, above them, the bit that marks configuration.
	template<size_t Bits> static void set_data(value<Bits> &port, uint64_t data) {
		for (size_t n = 0; n < value<Bits>::chunks; n++)
			port.data[n] = n < 2 ? uint32_t(data >> (32 * n)) : 0;
	}

	template<size_t Bits> static void set_flit(value<Bits> &port, uint64_t data, bool config) {
		set_data(port, data);
		const size_t top = Bits - 1;
		if (config)
			port.data[top / 32] |= 1u << (top % 32);
	}

	template<size_t Bits> static uint64_t get_data(const value<Bits> &port) {
		return Bits > 32 ? port.data[0] | uint64_t(port.data[value<Bits>::chunks - 1]) << 32 : port.data[0];
	}

	void drive(bool reset, bool valid, uint64_t data, bool config) {
#if OHMWEAVE_ACTIVITY
		running = running || (!reset && valid && !config);
#endif
		top.p_rst.template set<bool>(reset);
		top.p_host__in____valid.template set<bool>(valid);
		set_flit(top.p_host__in____payload, data, config);
		top.p_host__out____ready.template set<bool>(true);
	}

	// What all registers and inputs are in this cycle, whose edge is still to come.
	void watch() {
#if OHMWEAVE_ACTIVITY
		if (running)
			ohmweave::activity().sample();
#endif
	}

	void drive_entry(int entry, bool valid, uint64_t data) {
#if OHMWEAVE_ACTIVITY
		running = running || valid;
#endif
		switch (entry) {
#define E(n) case n: \
		top.p_entry__i____##n##____valid.template set<bool>(valid); \
		set_data(top.p_entry__i____##n##____payload, data); \
		break;
		OHMWEAVE_ENTRIES
#undef E
		}
	}

	bool entry_ready(int entry) const {
		switch (entry) {
#define E(n) case n: return now(top.p_entry__i____##n##____ready).data[0];
		OHMWEAVE_ENTRIES
#undef E
		}
		return false;
	}

#if OHMWEAVE_SINGLE_PASS
	// Evaluation takes the rising edge for granted: it computes the outputs of this cycle and the state of the next,
	// which `commit` makes the present one.
	void settle() {
		top.p_clk.template set<bool>(true);
		top.eval();
	}

	// What was computed since the last edge is what a cycle shows from that edge on.
	void edge() {
		sample();
		watch();
#if OHMWEAVE_WAVES
		top.p_clk.template set<bool>(false);
		sample();
#endif
		top.commit();
	}
#else
	void settle() {
		top.p_clk.template set<bool>(false);
		top.step();
		sample();
	}

	void edge() {
		watch();
		top.p_clk.template set<bool>(true);
		top.step();
		sample();
	}
#endif

	bool ready() const { return now(top.p_host__in____ready).data[0]; }
	bool valid() const { return now(top.p_host__out____valid).data[0]; }
	uint64_t data() const { return get_data(now(top.p_host__out____payload)); }
	uint32_t fault() const { return now(top.p_fault).data[0]; }
	uint32_t counted(int word) const { return now(top.p_@COUNTED@).data[word]; }
};

int main(int argc, char **argv) {
	if (argc < 2)
		return 2;
	const std::string folder = argv[argc - 1];
	if (!ohmweave::load_cells(folder + "/cells.bin")) {
		fprintf(stderr, "the cells in %s cannot be read\n", folder.c_str());
		return 2;
	}
#if OHMWEAVE_ACTIVITY
	// FILE PERIOD JOB_FOLDER
	Chip chip(nullptr);
	if (argc < 4 || !ohmweave::activity().open(argv[1], atol(argv[2])))
		return 2;
	const int code = ohmweave::run(chip, folder);
	return ohmweave::activity().close() ? code : 2;
#else
	Chip chip(argc > 2 ? argv[1] : nullptr);
	return ohmweave::run(chip, folder);
#endif
}
