"""The machine: chips, CANN, torch_npu, containers, and what of them is here."""
