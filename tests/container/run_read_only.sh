#!/bin/sh
# One command in an image's root, as a strict `docker run --read-only --network none --cap-drop ALL` would run it.
#   unshare --mount --pid --net --fork --kill-child run_read_only.sh ROOT WORK UID:GID FOLDER [NAME=VALUE...] COMMAND...
# ROOT is remounted read-only, WORK is the one writable mount (- for none), the environment is what is given and no
# more. The mounts are those of the namespace: they end with it, whatever happens.
set -eu
root=$1 work=$2 user=$3 folder=$4
shift 4

ip link set lo up
mount --bind "$root" "$root"
if [ "$work" != - ]; then
  mount --bind "$work" "$root/data"
fi
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=0755,size=64k tmpfs "$root/dev"
for device in null zero full random urandom; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -o remount,ro "$root/dev"
mount -o remount,ro,bind "$root"

exec setpriv --no-new-privs \
  chroot --userspec="$user" --groups= "$root" /usr/bin/env --ignore-environment --chdir="$folder" "$@"
