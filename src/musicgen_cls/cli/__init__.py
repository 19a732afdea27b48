"""The command line: LightningCLI and jsonargparse, and nothing else knows of them."""
