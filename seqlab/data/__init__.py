"""From manifest lines to batches: dataset, sampler, signal augmentation, datamodule."""
