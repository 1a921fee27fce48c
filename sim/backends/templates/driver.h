// Streams a job through a chip, cycle by cycle. The same code for every native simulator: `Chip` adapts it.
//
//   Chip::drive(reset, valid, data, config)  inputs of this cycle, but for the entries
//   Chip::drive_entry(entry, valid, data)    input of an entry
//   Chip::settle()                   clock low, until nothing changes any more
//   Chip::ready(), entry_ready(entry), valid(), data()   what the chip answers to them
//   Chip::counted(word)              32 bits of the port whose bits are counted
//   Chip::fault()                    `fault`, bit 0 of which is its valid
//   Chip::edge()                     rising edge of the clock, ends the cycle
//   Chip::COUNTED_BITS, ENTRIES
//
// Folder given on the command line: job.txt and flits.bin (and cells.bin for the arrays) in, result.txt out; progress goes to standard output.

#ifndef OHMWEAVE_DRIVER_H
#define OHMWEAVE_DRIVER_H

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace ohmweave {

// Flits on their way to a port, of `Job::flits`: frames, perhaps behind something else.
struct Stream {
	size_t next, next_frame, end;
	long frame, begun = 0;  // flits of a frame, and frames of which a flit was taken

	bool valid() const { return next < end; }

	// The flit was taken. Whether it was the first of a frame that no other port has begun, of `started` frames.
	bool take(long started) {
		if (next++ != next_frame)
			return false;
		next_frame += frame;
		return ++begun > started;
	}
};

struct Job {
	long config = 0, frame = 0, frames = 0, outputs = 0, idle = 0, entries = 0;
	std::vector<uint64_t> flits;  // of configuration, bit 16 marks it
	std::vector<Stream> streams;  // to host_in, and to each entry

	bool read(const std::string &folder) {
		FILE *text = fopen((folder + "/job.txt").c_str(), "r");
		if (!text || fscanf(text, "%ld %ld %ld %ld %ld %ld", &config, &frame, &frames, &outputs, &idle, &entries) != 6)
			return false;
		size_t end = config + frame * frames;
		streams.push_back({0, size_t(config), end, frame});
		for (long entry = 0, length; entry < entries; entry++) {
			if (fscanf(text, "%ld", &length) != 1)
				return false;
			streams.push_back({end, end, end + length * frames, length});
			end += length * frames;
		}
		fclose(text);
		flits.resize(end);
		FILE *data = fopen((folder + "/flits.bin").c_str(), "rb");
		if (!data || fread(flits.data(), sizeof(uint64_t), flits.size(), data) != flits.size())
			return false;
		fclose(data);
		return true;
	}
};

// Counts, for every bit, the cycles in which it is 1; costs nothing while no bit changes.
template<int Bits>
struct BitCount {
	static constexpr int WORDS = (Bits + 31) / 32;
	uint32_t last[WORDS] = {};
	long since[WORDS * 32] = {}, total[WORDS * 32] = {};

	template<class Chip>
	void sample(Chip &chip, long cycle) {
		for (int word = 0; word < WORDS; word++)
			update(word, chip.counted(word), cycle);
	}

	void update(int word, uint32_t now, long cycle) {
		for (uint32_t changed = now ^ last[word]; changed; changed &= changed - 1) {
			int bit = __builtin_ctz(changed), index = word * 32 + bit;
			if (now >> bit & 1)
				since[index] = cycle;
			else
				total[index] += cycle - since[index];
		}
		last[word] = now;
	}
};

template<class Chip>
int run(Chip &chip, const std::string &folder) {
	Job job;
	if (!job.read(folder) || (job.entries && job.entries != Chip::ENTRIES)) {
		fprintf(stderr, "the job in %s cannot be read\n", folder.c_str());
		return 2;
	}
	FILE *result = fopen((folder + "/result.txt").c_str(), "w");
	if (!result) {
		fprintf(stderr, "%s/result.txt cannot be written\n", folder.c_str());
		return 2;
	}
	for (int entry = 0; entry < Chip::ENTRIES; entry++)
		chip.drive_entry(entry, false, 0);
	for (int i = 0; i < @RESET_CYCLES@; i++) {
		chip.drive(true, false, 0, false);
		chip.settle();
		chip.edge();
	}
	BitCount<Chip::COUNTED_BITS> count;
	const long wanted = job.outputs * job.frames;
	long cycle = 0, came = 0, moved = 0, next_done = job.outputs, started = 0;
	auto take = [&](Stream &stream) {
		if (stream.take(started)) {
			fprintf(result, "i %ld\n", cycle);
			started++;
		}
		moved = cycle;
	};
	auto shown = std::chrono::steady_clock::now();
	for (; came < wanted; cycle++) {
		Stream &host = job.streams[0];
		const bool valid = host.valid();
		const uint64_t flit = valid ? job.flits[host.next] : 0;
		if (host.next < (size_t)job.config)
			chip.drive(false, valid, flit & 0xffff, flit >> 16 & 1);
		else
			chip.drive(false, valid, flit, false);
		for (int entry = 0; entry < job.entries; entry++) {
			const Stream &stream = job.streams[1 + entry];
			chip.drive_entry(entry, stream.valid(), stream.valid() ? job.flits[stream.next] : 0);
		}
		chip.settle();
		if (valid && chip.ready())
			take(host);
		for (int entry = 0; entry < job.entries; entry++)
			if (job.streams[1 + entry].valid() && chip.entry_ready(entry))
				take(job.streams[1 + entry]);
		if (chip.fault() & 1) {
			fprintf(result, "e %ld %lu\n", cycle, (unsigned long)chip.fault());
			break;
		}
		if (started)
			count.sample(chip, cycle);
		if (chip.valid()) {
			fprintf(result, "o %ld %llu\n", cycle, (unsigned long long)chip.data());
			moved = cycle;
			if (++came == next_done) {
				next_done += job.outputs;
				auto now = std::chrono::steady_clock::now();
				if (came == wanted || now - shown > std::chrono::milliseconds(100)) {
					shown = now;
					printf("p %ld\n", came / job.outputs);
					fflush(stdout);
				}
			}
		} else if (cycle - moved >= job.idle) {
			fprintf(result, "h %ld\n", cycle);
			break;
		}
		chip.edge();
	}
	for (int word = 0; word < BitCount<Chip::COUNTED_BITS>::WORDS; word++)
		count.update(word, 0, cycle);
	for (int bit = 0; bit < Chip::COUNTED_BITS; bit++)
		fprintf(result, "b %ld\n", count.total[bit]);
	fprintf(result, "c %ld\n", cycle);
	if (fclose(result)) {
		fprintf(stderr, "%s/result.txt cannot be written\n", folder.c_str());
		return 2;
	}
	return 0;
}

}  // namespace ohmweave

#endif
