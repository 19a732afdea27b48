#!/bin/bash
# Two nodes with four GPUs each: sbatch slurm.sh
#SBATCH --job-name=musicgen_cls
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=12:00:00
#SBATCH --requeue

# The collection is decoded once, on one node, into a folder that all nodes see.
export MUSICGEN_CLS_CACHE="$HOME/musicgen_cls-cache"
source "$HOME/venv/bin/activate"
settings=(--config temporal_pooling_fma --data.source.root "$HOME/fma")

srun --nodes=1 --ntasks=1 musiccli prepare "${settings[@]}"
run="lightning_logs/temporal_pooling_fma/job-$SLURM_JOB_ID"
resume=()
[ -f "$run/checkpoints/last.ckpt" ] && resume=(--ckpt_path "$run/checkpoints/last.ckpt")
srun --kill-on-bad-exit=1 musiccli fit "${settings[@]}" --trainer.num_nodes 2 --trainer.devices 4 --trainer.strategy ddp \
    --trainer.precision bf16-mixed --data.batch_size 32 --trainer.logger.version "job-$SLURM_JOB_ID" "${resume[@]}"
