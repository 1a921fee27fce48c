"""cocotb side of the tests: bus models, scoreboards and one `tb_<block>.py` a block."""
