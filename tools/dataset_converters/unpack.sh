#!/usr/bin/env bash
# Unpacks what `mim download --dataset` fetched: unpack.sh DOWNLOADED DATA_ROOT
# Every .tar, .tar.gz, .tgz and .zip below DOWNLOADED goes into DATA_ROOT; those inside
# ImageNet's training set, one a class, each into a folder of its name. Archives are
# deleted once they are unpacked.
set -euo pipefail
[ $# -eq 2 ] || { echo "usage: unpack.sh DOWNLOADED DATA_ROOT" >&2; exit 2; }
from=$1 to=$2

unpack() { # ARCHIVE FOLDER
    mkdir -p -- "$2"
    case $1 in
    *.zip) unzip -q -o "$1" -d "$2" ;;
    *) tar -xf "$1" -C "$2" ;;
    esac
    rm -- "$1"
}

archives() { # FOLDER
    find "$1" -type f \( -name '*.tar' -o -name '*.tar.gz' -o -name '*.tgz' -o -name '*.zip' \) -print0
}

mapfile -d '' -t outer < <(archives "$from") # first: DATA_ROOT may lie in DOWNLOADED
[ ${#outer[@]} -gt 0 ] || { echo "unpack.sh: no archive below $from" >&2; exit 1; }
for archive in "${outer[@]}"; do
    name=$(basename -- "$archive")
    case $name in # ImageNet's own names say which part they are
    ILSVRC2012_img_train*) folder=$to/train ;;
    ILSVRC2012_img_val*) folder=$to/val ;;
    *) folder=$to ;;
    esac
    echo "unpacking $name into $folder"
    unpack "$archive" "$folder"
    [ "$folder" = "$to/train" ] || continue
    mapfile -d '' -t inner < <(archives "$folder")
    for class in "${inner[@]}"; do unpack "$class" "${class%.tar}"; done
done
