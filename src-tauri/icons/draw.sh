#!/usr/bin/env bash
# Draws the PNG files from the SVG files beside it; needs rsvg-convert (librsvg2-bin). Run after a change of a drawing.
set -euo pipefail
cd "$(dirname "$0")"
for drawing in *.svg; do rsvg-convert "$drawing" -o "${drawing%.svg}.png"; done
