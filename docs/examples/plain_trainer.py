"""Train, test and predict with a plain Lightning trainer: music/ has one sub-folder for each genre."""

from functools import partial

from lightning.pytorch import Trainer

from musicgen_cls.datamodules import MelSlices
from musicgen_cls.models import VGG
from musicgen_cls.sources import Folder
from musicgen_cls.tasks import GenreClassifier

data = MelSlices(source=Folder("music"), seconds=2.0, files=["song.wav"])
task = GenreClassifier(network=partial(VGG, width=16), lr=0.001, num_classes=data.num_classes)
trainer = Trainer(max_epochs=5)
trainer.fit(task, data)
trainer.test(task, data)  # accuracy of windows and of tracks that the network has not seen
(probabilities,) = trainer.predict(task, data)  # of the one file: [windows, genres]
print(dict(zip(data.genres, probabilities.mean(dim=0).tolist(), strict=True)))
trainer.save_checkpoint("plain.ckpt")  # musicgen_cls.load and every command read it
