#!/usr/bin/env bash
# Every run behind docs/training_results.md: `bash benchmarks/grpo_study.sh PART [SEEDS]`. A run that
# is there is not made again, and one that was stopped goes on, so parts may be started twice.
#
#   main       warm-up and GRPO of --preset tiny, one run per seed
#   sft        control: the time of GRPO spent on more supervised fine-tuning
#   ablations  GRPO from the same starts, 8 steps, one setting changed
#   report     the tables and pictures of all that has ended
set -euo pipefail
part=${1:-}
seeds=${2:-0 1 2 3 4}
runs=${RUNS:-runs/study}
# One thread per run: more of them wait for each other. Start two parts at a time on two cores.
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

train() { # folder, arguments
  local folder=$1
  shift
  memgym train --preset tiny --out "$folder" "$@" </dev/null
}

from_start() { # name, seed, arguments
  local name=$1 seed=$2
  shift 2
  train "$runs/$name-$seed" --seed "$seed" --set policy.model="$runs/main-$seed/start" \
    --set 'supervised.agents=[]' --set supervised.copying_steps=0 "$@"
}

weights() { # format, compression, content
  echo "environment.reward_weights={\"format\":$1,\"compression\":$2,\"content\":$3}"
}

types() { # memory types
  echo "environment.memory_types=[$1]"
}

ablation() { # name, arguments
  local name=$1
  shift
  for seed in $seeds; do
    from_start "ablation-$name" "$seed" --set optimizer.steps=8 --set evaluation.every=8 "$@"
  done
}

case $part in
main)
  for seed in $seeds; do train "$runs/main-$seed" --seed "$seed"; done
  ;;
sft)
  for seed in $seeds; do
    train "$runs/sft-$seed" --seed "$seed" --set policy.model="$runs/main-$seed/start" --sft-only \
      --set supervised.copying_steps=0 --set supervised.episodes=1200 --set supervised.steps=800
  done
  ;;
ablations)
  ablation base
  ablation beta-0 --set "$(weights 0.2 0.0 0.0)"
  ablation beta-0.05 --set "$(weights 0.2 0.05 0.0)"
  ablation beta-0.4 --set "$(weights 0.2 0.4 0.0)"
  ablation gamma-0.1 --set "$(weights 0.2 0.2 0.1)"
  ablation paper-advantages --set advantage.kind=paper --set advantage.scale=level \
    --set advantage.chunk_credit=0.0
  ablation whole-rollouts --set advantage.chunk_credit=0.0
  ablation group-4 --set rollout.group_size=4 --set rollout.episodes=24
  ablation group-16 --set rollout.group_size=16 --set rollout.episodes=6
  ablation no-core --set "$(types '"semantic","episodic"')"
  ablation no-semantic --set "$(types '"core","episodic"')"
  ablation no-episodic --set "$(types '"core","semantic"')"
  ;;
report)
  mains=("$runs"/main-*)
  memgym report-grpo "${mains[@]}" "$runs"/sft-* --episodes 80 --out "$runs/report"
  memgym report-grpo "${mains[@]}" --episodes 80 --split validation --out "$runs/report-names"
  memgym report-grpo "${mains[@]}" --memory-budget 50%,25% --episodes 80 \
    --out "$runs/report-budgets"
  # A text of 64 times the length is a thousand conversations: two seeds, few episodes.
  memgym report-grpo "$runs"/main-0 "$runs"/main-4 --models best --length 1,4,16,64 --episodes 8 \
    --agents sentences,dated,chunks,oracle --out "$runs/report-lengths"
  memgym report-grpo "$runs"/ablation-* --models start,final --episodes 80 --agents sentences \
    --out "$runs/report-ablations"
  ;;
*)
  sed -n '2,10s/^# \{0,1\}//p' "$0"
  exit 2
  ;;
esac
