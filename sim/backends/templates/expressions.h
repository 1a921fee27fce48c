// Parts of values, read, written and put together without a copy of the whole: CXXRTL shifts all of a value to read
// four bits of it, copies all of it to write them, and makes as many copies of a concatenation as it has parts.

template<size_t Stop, size_t Start, size_t Bits>
CXXRTL_ALWAYS_INLINE
value<Stop - Start + 1> read_part(const value<Bits> &whole) {
	using chunk = typename value<Bits>::chunk;
	constexpr size_t first = Start / chunk::bits, shift = Start % chunk::bits;
	value<Stop - Start + 1> part;
	for (size_t n = 0; n < part.chunks; n++) {
		part.data[n] = whole.data[first + n] >> shift;
		if (shift != 0 && first + n + 1 < whole.chunks)
			part.data[n] |= whole.data[first + n + 1] << ((chunk::bits - shift) % chunk::bits);
	}
	part.data[part.chunks - 1] &= part.msb_mask;
	return part;
}

// Bits of `part` in the word `n` of a value in which the part begins at bit Start.
template<size_t Start, size_t Bits>
CXXRTL_ALWAYS_INLINE
typename value<Bits>::chunk::type word_of(const value<Bits> &part, size_t n) {
	using chunk = typename value<Bits>::chunk;
	constexpr size_t first = Start / chunk::bits, shift = Start % chunk::bits;
	typename chunk::type word = n - first < part.chunks ? part.data[n - first] << shift : 0;
	if (shift != 0 && n > first)
		word |= part.data[n - first - 1] >> ((chunk::bits - shift) % chunk::bits);
	return word;
}

template<size_t Stop, size_t Start, size_t Bits>
CXXRTL_ALWAYS_INLINE
void write_part(value<Bits> &whole, const value<Stop - Start + 1> &part) {
	using chunk = typename value<Bits>::chunk;
	constexpr size_t first = Start / chunk::bits, last = Stop / chunk::bits;
	constexpr typename chunk::type low = chunk::mask << (Start % chunk::bits);
	constexpr typename chunk::type high = chunk::mask >> (chunk::bits - 1 - Stop % chunk::bits);
	for (size_t n = first; n <= last; n++) {
		typename chunk::type mask = (n == first ? low : chunk::mask) & (n == last ? high : chunk::mask);
		whole.data[n] = (whole.data[n] & ~mask) | word_of<Start>(part, n);
	}
}

template<size_t Stop, size_t Start, class T>
CXXRTL_ALWAYS_INLINE
void write_part(expr_base<T> &expression, const value<Stop - Start + 1> &part) {
	T &whole = static_cast<T &>(expression);
	whole = static_cast<const value<T::bits> &>(whole).template blit<Stop, Start>(part);
}

// The bits of a part or of a concatenation, from bit Start on, into a value that is 0 there.
template<size_t Start, size_t Bits, class T>
CXXRTL_ALWAYS_INLINE
void gather(const expr_base<T> &part, value<Bits> &whole) {
	const value<T::bits> &bits = static_cast<const value<T::bits> &>(static_cast<const T &>(part));
	constexpr size_t chunk_bits = value<Bits>::chunk::bits;
	for (size_t n = Start / chunk_bits; n <= (Start + T::bits - 1) / chunk_bits; n++)
		whole.data[n] |= word_of<Start>(bits, n);
}

template<class T, class U>
struct concat_expr;

template<size_t Start, size_t Bits, class T, class U>
CXXRTL_ALWAYS_INLINE
void gather(const concat_expr<T, U> &parts, value<Bits> &whole) {
	gather<Start>(parts.ls_expr, whole);
	gather<Start + U::bits>(parts.ms_expr, whole);
}

