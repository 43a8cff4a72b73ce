"""Many LoRA adapters trained side by side on one frozen model; equal to PEFT and the HF Trainer.

train     `train_adapters`: a queue of jobs over a number of slots, a step of all slots at a time
jobs      what one adapter is trained on, and how
bank      the slots' weights on the frozen model
packing, attention    rows without padding, and their masks
files     PEFT folders, also of adapters in sequence as one
"""

from seal.lora.jobs import AdapterJob, AdapterResult, PaddingLoss
from seal.lora.train import train_adapters

__all__ = ["AdapterJob", "AdapterResult", "PaddingLoss", "train_adapters"]
