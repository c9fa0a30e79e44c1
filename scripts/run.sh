#!/usr/bin/env bash
# Open the window on IMAGE with MODEL (both from the environment, both optional).
# Without a display, do the same job headless and leave its results in output/.
set -eu
cd "$(dirname "$0")/.."

bin=.venv/bin
model=()
image=()

if [ -n "${MODEL:-}" ]; then
    model=(--model "$MODEL")
fi
if [ -n "${IMAGE:-}" ]; then
    image=("$IMAGE")
fi

has_display() {
    case "$(uname -s)" in
    Darwin) return 0 ;;
    *) [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ] ;;
    esac
}

if has_display; then
    exec "$bin/clnf-gui" ${model[@]+"${model[@]}"} ${image[@]+"${image[@]}"}
fi

echo "There is no display: fitting headless."
mkdir -p output
rm -f output/landmarks.json output/landmarks.csv output/landmarks*.pts output/trace.npz output/window.png
photo=(${image[@]+"${image[@]}"})
if [ ${#photo[@]} = 0 ]; then # the window's own choice
    photo=("$("$bin/python" -c 'from clnf_engine import sample; print(sample("portrait").path)')")
fi
for format in json csv pts; do
    "$bin/clnf" fit "${photo[@]}" ${model[@]+"${model[@]}"} --format "$format" -o "output/landmarks.$format"
done
"$bin/clnf" trace "${photo[@]}" ${model[@]+"${model[@]}"} -o output/trace.npz
QT_QPA_PLATFORM=offscreen "$bin/clnf-gui" --screenshot output/window.png ${model[@]+"${model[@]}"} ${image[@]+"${image[@]}"}

echo "The window:    $PWD/output/window.png"
for file in output/landmarks*; do
    echo "The landmarks: $PWD/$file"
done
echo "The trace:     $PWD/output/trace.npz"
