"""Networks: tensors in, tensors out. They know no files, no clock and no configuration."""
