// Simulation executable of the verilator backend: [WAVES] JOB_FOLDER

#include "Vchip.h"
#include "driver.h"
#include "verilated.h"
#include <memory>

#if OHMWEAVE_WAVES
#include "verilated_@FORMAT@_c.h"
#endif

@HEADER@

// E(0) E(1) … for all entries.
#define OHMWEAVE_ENTRIES @ENTRIES@

#define E(n) + 1
static constexpr int ENTRY_COUNT = 0 OHMWEAVE_ENTRIES;
#undef E

static uint32_t bits(uint64_t port, int word) { return uint32_t(port >> (32 * word)); }
template<std::size_t Words> static uint32_t bits(const VlWide<Words> &port, int word) { return port[word]; }

// Data and, above them, the bit that marks configuration.
template<class Port> static void set_flit(Port &port, uint64_t data, bool config) {
	port = data | uint64_t(config) << @LINK_BITS@ % 64;
}
template<std::size_t Words> static void set_flit(VlWide<Words> &port, uint64_t data, bool config) {
	port[0] = uint32_t(data);
	port[1] = uint32_t(data >> 32);
	port[2] = config;
}

// Verilator writes two underscores in a name as ___05F.
struct Chip {
	static constexpr int COUNTED_BITS = @COUNTED_BITS@, ENTRIES = ENTRY_COUNT;
	VerilatedContext context;
	Vchip top{&context, "chip"};
#if OHMWEAVE_WAVES
	Verilated@TRACE@C waves;
#endif

	explicit Chip(const char *path) {
#if OHMWEAVE_WAVES
		context.traceEverOn(true);
		top.trace(&waves, 99);
		waves.open(path);
#else
		(void)path;
#endif
	}

	~Chip() {
		top.final();
#if OHMWEAVE_WAVES
		waves.close();
#endif
	}

	void eval() {
		top.eval();
#if OHMWEAVE_WAVES
		waves.dump(context.time());
		context.timeInc(5);
#endif
	}

	void drive(bool reset, bool valid, uint64_t data, bool config) {
		top.rst = reset;
		top.host_in___05Fvalid = valid;
		set_flit(top.host_in___05Fpayload, data, config);
		top.host_out___05Fready = 1;
	}

	void drive_entry(int entry, bool valid, uint64_t data) {
		switch (entry) {
#define E(n) case n: \
		top.entry_i___05F##n##___05Fvalid = valid; \
		top.entry_i___05F##n##___05Fpayload = data; \
		break;
		OHMWEAVE_ENTRIES
#undef E
		}
	}

	bool entry_ready(int entry) const {
		switch (entry) {
#define E(n) case n: return top.entry_i___05F##n##___05Fready;
		OHMWEAVE_ENTRIES
#undef E
		}
		return false;
	}

	void settle() {
		top.clk = 0;
		eval();
	}

	void edge() {
		top.clk = 1;
		eval();
	}

	bool ready() const { return top.host_in___05Fready; }
	bool valid() const { return top.host_out___05Fvalid; }
	uint64_t data() const { return top.host_out___05Fpayload; }
	uint32_t fault() const { return top.fault; }
	uint32_t counted(int word) const { return bits(top.@COUNTED@, word); }
};

int main(int argc, char **argv) {
	if (argc < 2)
		return 2;
	const std::string folder = argv[argc - 1];
	if (!ohmweave::load_cells(folder + "/cells.bin")) {
		fprintf(stderr, "the cells in %s cannot be read\n", folder.c_str());
		return 2;
	}
	Chip chip(argc > 2 ? argv[1] : nullptr);
	return ohmweave::run(chip, folder);
}
