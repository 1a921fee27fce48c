// The crossbar array in C++: one source for CXXRTL's black box and for Verilator through DPI.
//
// Words come packed, 32 bits each, lowest first: both cxxrtl::value<N>::data and svBitVecVal[] are that, with zeros
// above the highest bit.

#ifndef OHMWEAVE_CROSSBAR_CORE_H
#define OHMWEAVE_CROSSBAR_CORE_H

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace ohmweave {

// As ArrayParams; adc_limit is the highest code of a sense unit.
struct Array {
	uint32_t rows, cols, cell_bits, colmux, dac_bits, read_cycles;
	uint32_t sum_bits, adc_drop, adc_limit;
	bool reference;
};

// Levels that arrays pick up at their first clock edge, by the array's `id`: row by row, one byte a cell.
inline std::map<uint16_t, std::vector<uint8_t>> &loaded_cells()
{
	static std::map<uint16_t, std::vector<uint8_t>> cells;
	return cells;
}

inline void load_cells(uint16_t id, const uint8_t *levels, size_t count)
{
	loaded_cells()[id].assign(levels, levels + count);
}

// The same for all arrays of a file: for each array id, rows and columns as 32-bit words, then rows × columns bytes.
// False if it cannot be read to its end.
inline bool load_cells(const std::string &path)
{
	FILE *file = std::fopen(path.c_str(), "rb");
	if (!file)
		return false;
	uint32_t head[3];
	bool good = true;
	size_t got;
	while (good && (got = std::fread(head, sizeof head[0], 3, file))) {
		std::vector<uint8_t> levels(got == 3 ? size_t(head[1]) * head[2] : 0);
		good = got == 3 && std::fread(levels.data(), 1, levels.size(), file) == levels.size();
		if (good)
			loaded_cells()[uint16_t(head[0])].swap(levels);
	}
	std::fclose(file);
	return good;
}

class Crossbar {
public:
	explicit Crossbar(const Array &array)
		: array(array), columns(array.cols / array.colmux), blocks((columns + LANES - 1) / LANES)
		, padded((array.rows + CHUNK - 1) / CHUNK * CHUNK)
		, most(((1u << array.dac_bits) - 1) * ((1u << array.cell_bits) - 1))
		, chunks_before_overflow(65535u / most / CHUNK)
		, inputs(padded), sum(blocks * LANES), next((columns * array.sum_bits + 31) / 32), now(next.size())
	{
	}

	// State as before the first clock edge.
	void power_on()
	{
		cells.clear();
		now.assign(now.size(), 0);
		reference_now = 0;
		left = 0;
		first = true;
	}

	// One rising clock edge, with the ports as they are before it. True if anything can have changed or a read is
	// under way: while it is false, and start and write are low, edges may be left out.
	bool edge(uint32_t id, bool start, uint32_t group, const uint32_t *x, bool write, uint32_t row,
		const uint32_t *levels)
	{
		if (first) {
			first = false;
			take_loaded(uint16_t(id));
		}
		if (write && row < array.rows)
			program(row, levels);
		if (start) {
			read(group, x);
			left = array.read_cycles;
		}
		const bool active = start || write || left;
		if (left && --left == 0) {
			now = next;
			reference_now = reference_next;
		}
		return active;
	}

	bool idle() const { return left == 0; }

	// What the ports show, packed as `sums` is.
	const uint32_t *sums() const { return now.data(); }
	uint32_t reference() const { return reference_now; }
	size_t words() const { return now.size(); }

	void program(uint32_t row, const uint32_t *levels)
	{
		for (uint32_t column = 0; column < array.cols; column++)
			cell(row, column) = uint8_t(field(levels, column * array.cell_bits, array.cell_bits));
	}

	// rows × cols levels, row by row.
	void load(const uint8_t *levels)
	{
		const uint8_t mask = uint8_t((1u << array.cell_bits) - 1);
		for (uint32_t row = 0; row < array.rows; row++)
			for (uint32_t column = 0; column < array.cols; column++)
				cell(row, column) = *levels++ & mask;
	}

private:
	// Columns that are summed together: one 128-bit register of cells.
	static constexpr uint32_t LANES = 16;
	// Rows that are skipped together when their inputs are all 0.
	static constexpr uint32_t CHUNK = 8;
	typedef uint16_t Lanes __attribute__((vector_size(16)));

	const Array array;
	const uint32_t columns, blocks, padded;
	// The largest product of an input and a level, and the chunks whose sums are sure to fit into 16 bits.
	const uint32_t most, chunks_before_overflow;
	// Group by group, in a group block by block of LANES columns, in a block row by row: a read streams through
	// contiguous memory. Empty until something is programmed: arrays that are not in use cost no memory.
	std::vector<uint8_t> cells;
	std::vector<uint16_t> inputs;
	std::vector<uint32_t> sum;
	std::vector<uint32_t> next, now;
	uint32_t reference_next = 0, reference_now = 0, left = 0;
	bool first = true;

	static uint32_t field(const uint32_t *words, uint32_t at, uint32_t bits)
	{
		uint64_t word = words[at / 32];
		if (at % 32 + bits > 32)
			word |= uint64_t(words[at / 32 + 1]) << 32;
		return uint32_t(word >> at % 32) & ((1u << bits) - 1);
	}

	uint8_t &cell(uint32_t row, uint32_t column)
	{
		if (cells.empty())
			cells.resize(size_t(array.colmux) * blocks * padded * LANES);
		const uint32_t group = column / columns, lane = column % columns;
		return cells[((size_t(group) * blocks + lane / LANES) * padded + row) * LANES + lane % LANES];
	}

	void take_loaded(uint16_t id)
	{
		const auto found = loaded_cells().find(id);
		if (found == loaded_cells().end())
			return;
		if (found->second.size() != size_t(array.rows) * array.cols) {
			std::fprintf(stderr, "array %u has %u x %u cells, not %zu\n", unsigned(id), unsigned(array.rows),
				unsigned(array.cols), found->second.size());
			std::exit(2);
		}
		load(found->second.data());
	}

	// Compiled for the width of an input, so that the fields of a word come apart without a loop around bits.
	template<uint32_t BITS>
	void unpack(const uint32_t *x)
	{
		constexpr uint32_t EACH = 32 / BITS;
		uint32_t row = 0;
		for (; row + EACH <= array.rows; row += EACH) {
			const uint32_t word = *x++;
			for (uint32_t n = 0; n < EACH; n++)
				inputs[row + n] = uint16_t(word >> n * BITS & ((1u << BITS) - 1));
		}
		for (uint32_t n = 0; row < array.rows; row++, n++)
			inputs[row] = uint16_t(*x >> n * BITS & ((1u << BITS) - 1));
	}

	// Eight inputs a word, spread by halves instead of one by one.
	void unpack_nibbles(const uint32_t *x)
	{
		for (uint32_t row = 0; row < array.rows; row += 8, x++) {
			uint64_t four[2] = {*x & 0xffff, *x >> 16};
			for (uint64_t &lanes : four) {
				lanes = (lanes | lanes << 24) & 0x000000ff000000ffu;
				lanes = (lanes | lanes << 12) & 0x000f000f000f000fu;
			}
			std::memcpy(&inputs[row], four, sizeof four);
		}
	}

	void unpack(const uint32_t *x)
	{
#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		if (array.dac_bits == 4)
			return unpack_nibbles(x);
#endif
		switch (array.dac_bits) {
		case 1: return unpack<1>(x);
		case 2: return unpack<2>(x);
		case 4: return unpack<4>(x);
		case 8: return unpack<8>(x);
		}
		for (uint32_t row = 0; row < array.rows; row++)
			inputs[row] = uint16_t(field(x, row * array.dac_bits, array.dac_bits));
	}

	static uint64_t quad(const uint16_t *inputs)
	{
		uint64_t word;
		std::memcpy(&word, inputs, sizeof word);
		return word;
	}

	static bool all_zero(const uint16_t *inputs) { return !(quad(inputs) | quad(inputs + 4)); }

	uint32_t inputs_sum() const
	{
		// 257 inputs of 8 bits are the most that 16 bits hold.
		constexpr uint32_t MOST = 256 * CHUNK;
		uint32_t total = 0;
		for (uint32_t first = 0; first < padded; first += MOST) {
			Lanes part = {};
			for (uint32_t row = first; row < padded && row < first + MOST; row += CHUNK) {
				Lanes eight;
				std::memcpy(&eight, &inputs[row], sizeof eight);
				part += eight;
			}
			for (uint32_t n = 0; n < CHUNK; n++)
				total += part[n];
		}
		return total;
	}

	void read(uint32_t group, const uint32_t *x)
	{
		unpack(x);
		std::memset(sum.data(), 0, sum.size() * sizeof sum[0]);
		if (!cells.empty() && group < array.colmux)
			for (uint32_t block = 0; block < blocks; block++) {
				const uint8_t *from = &cells[(size_t(group) * blocks + block) * padded * LANES];
				uint32_t *into = &sum[block * LANES];
				if (most < 256)
					add_block<true>(from, into);
				else if (chunks_before_overflow)
					add_block<false>(from, into);
				else
					add_block_wide(from, into);
			}
		reference_next = array.reference ? code(inputs_sum()) : 0;
		std::memset(next.data(), 0, next.size() * sizeof next[0]);
		for (uint32_t column = 0, at = 0; column < columns; column++, at += array.sum_bits) {
			const uint64_t bits = uint64_t(code(sum[column])) << at % 32;
			next[at / 32] |= uint32_t(bits);
			if (bits >> 32)
				next[at / 32 + 1] |= uint32_t(bits >> 32);
		}
	}

	uint32_t code(uint32_t total) const
	{
		const uint32_t level = total >> array.adc_drop;
		return (level < array.adc_limit ? level : array.adc_limit) << array.adc_drop;
	}

	// Sums in 16 bits, widened before they can overflow. Even columns are in `low`, odd ones in `high`. BYTES: a
	// product fits into 8 bits, so that one multiplication serves both columns of a lane.
	template<bool BYTES>
	void add_block(const uint8_t *from, uint32_t *into)
	{
		const uint32_t chunks = padded / CHUNK;
		uint32_t chunk = 0;
		while (chunk < chunks) {
			Lanes low = {}, high = {};
			for (uint32_t room = chunks_before_overflow; chunk < chunks && room; chunk++) {
				const uint16_t *x = &inputs[chunk * CHUNK];
				if (all_zero(x))
					continue;
				const uint8_t *at = from + size_t(chunk) * CHUNK * LANES;
				for (uint32_t n = 0; n < CHUNK; n++) {
					Lanes pair;
					std::memcpy(&pair, at + n * LANES, sizeof pair);
					if (BYTES) {
						pair *= x[n];
						low += pair & 0xff;
						high += pair >> 8;
					} else {
						low += (pair & 0xff) * x[n];
						high += (pair >> 8) * x[n];
					}
				}
				room--;
			}
			for (uint32_t n = 0; n < LANES / 2; n++) {
				into[2 * n] += low[n];
				into[2 * n + 1] += high[n];
			}
		}
	}

	void add_block_wide(const uint8_t *from, uint32_t *into)
	{
		for (uint32_t row = 0; row < array.rows; row++)
			if (const uint32_t x = inputs[row])
				for (uint32_t n = 0; n < LANES; n++)
					into[n] += from[size_t(row) * LANES + n] * x;
	}
};

}  // namespace ohmweave

#endif
