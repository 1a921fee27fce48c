"""Reads a second of the crossbar's C++ core, full size, all inputs non-zero.

python -m ohmweave.testbench.crossbar_speed
"""

import subprocess
import tempfile
from pathlib import Path

from ohmweave.presets import PRESETS
from ohmweave.rtl.crossbar import core_header
from ohmweave.rtl.crossbar.generate import core_initializer
from ohmweave.sim.backends.toolchain import compiler, run_tool

MAIN = """
#include <chrono>
int main()
{
	const ohmweave::Array array{@ARRAY@};
	ohmweave::Crossbar core(array);
	std::vector<uint8_t> levels(size_t(array.rows) * array.cols);
	for (auto &level : levels)
		level = uint8_t(rand() & 15);
	core.load(levels.data());
	std::vector<uint32_t> x(array.rows * array.dac_bits / 32);
	for (auto &word : x)
		for (int n = 0; n < 8; n++)
			word |= uint32_t(1 + rand() % 15) << 4 * n;
	const int reads = 500000;
	uint32_t check = 0;
	const auto begun = std::chrono::steady_clock::now();
	for (int n = 0; n < reads; n++) {
		core.edge(0, true, n % array.colmux, x.data(), false, 0, nullptr);
		for (uint32_t cycle = 1; cycle < array.read_cycles; cycle++)
			core.edge(0, false, 0, nullptr, false, 0, nullptr);
		check += core.sums()[0];
	}
	const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
	printf("%.0f reads/s (check %u)\\n", reads / took.count(), check);
}
"""


def main() -> None:
    array = PRESETS["re-reram"].pe.array
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "speed.cc").write_text(core_header() + MAIN.replace("@ARRAY@", core_initializer(array)))
        for level in ("-O2", "-O3"):
            run_tool("compiling", [*compiler(), "-std=c++14", level, "speed.cc", "-o", "speed"], folder)
            done = subprocess.run(["./speed"], cwd=folder, check=True, capture_output=True, text=True)
            print(level, done.stdout.strip())


if __name__ == "__main__":
    main()
