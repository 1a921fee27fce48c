"""Networks, compiler, golden model, backends and reports."""
