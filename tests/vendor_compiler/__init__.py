"""The fused kernel under the vendor's compiler, without CANN: ``python -m tests.vendor_compiler.check``; see there."""
