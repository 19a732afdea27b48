"""Options that make a VGG, its data and a run as small as they can be."""

TINY = [
    *(
        "--model.network.width",
        "2",
        "--model.network.pairs",
        "1",
        "--data.sample_rate",
        "4000",
        "--data.seconds",
        "0.5",
    ),
    *("--data.n_fft", "128", "--data.hop_length", "64", "--data.n_mels", "16", "--data.windows_per_track", "4"),
    *("--data.batch_size", "4", "--data.fractions", "[0.5, 0.25, 0.25]"),
    *("--trainer.enable_progress_bar", "false", "--trainer.accelerator", "cpu"),
]
