// Records what registers, boxes and inputs hold, part by part, in windows of consecutive cycles.
//
// The file: a line "path part" for each instance of a part, an empty line, and then for each cycle of a window its
// number and, of each instance, a word that is 1 if its values follow, and 0 if they are those of the cycle before.

#ifndef OHMWEAVE_ACTIVITY_H
#define OHMWEAVE_ACTIVITY_H

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace ohmweave {

struct Activity {
	static constexpr long WINDOW = @WINDOW@;

	// `values` appends everything there is to know of the instance; `moving` is null for what is always awake.
	struct Instance {
		std::string path;
		const char *part;
		const void *inner;
		void (*values)(const void *, std::vector<uint32_t> &);
		const bool *moving;
	};

	std::vector<Instance> instances;
	std::string path;  // of the instance that is being made
	FILE *file = nullptr;
	long every = 1, cycle = 0;
	std::vector<uint32_t> buffer;

	bool open(const char *name, long period) {
		file = fopen(name, "wb");
		every = period;
		if (!file || period < WINDOW)
			return false;
		for (const Instance &each : instances)
			fprintf(file, "%s %s\n", each.path.c_str(), each.part);
		fputc('\n', file);
		return true;
	}

	// In each cycle, between the settling of the inputs and the edge.
	void sample() {
		const long place = cycle % every;
		if (place < WINDOW) {
			buffer.clear();
			buffer.push_back(uint32_t(cycle));
			for (const Instance &each : instances) {
				const bool follow = place == 0 || !each.moving || *each.moving;
				buffer.push_back(follow);
				if (follow)
					each.values(each.inner, buffer);
			}
			fwrite(buffer.data(), sizeof(uint32_t), buffer.size(), file);
		}
		cycle++;
	}

	bool close() { return !file || !fclose(file); }
};

inline Activity &activity() {
	static Activity only;
	return only;
}

// The path of an instance while it is being made, with all that is in it.
struct ActivityPath {
	const size_t length;

	explicit ActivityPath(const std::string &name) : length(activity().path.size()) {
		if (length)
			activity().path += '.';
		for (char c : name)
			activity().path += c == ' ' ? '.' : c;
	}

	~ActivityPath() { activity().path.resize(length); }
};

template<class Value>
void put_value(std::vector<uint32_t> &to, const Value &value) {
	to.insert(to.end(), value.data, value.data + Value::chunks);
}

}  // namespace ohmweave

#endif
