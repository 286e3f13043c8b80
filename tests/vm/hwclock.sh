# Run in the busybox guest by hwclock.rs: our hwclock ($O) beside util-linux's ($T). Says "same" or "DIFFERENT", and how.
exec 2>&1
export TZ=UTC
P= # what stands before the command: another user, a zone
S= # what the shell does with its output
A= # content of /etc/adjtime; `none`: there is no file
# epoch seconds, dates, phases and the tolerances that depend on them, the number of the device's file descriptor, the name as typed
plain() {
    sed -E -e '/^missed it - /d' -e '/^hwclock: \/dev\/rtc0? is held by /d' -e 's,/usr/local/bin/hwclock,hwclock,g' \
        -e 's/^hwclock from util-linux .*/VERSION/' -e 's/^[0-9]+: hwclock:/PID: hwclock:/' -e 's/version: .*/version/' \
        -e 's/[0-9]+(-[0-9]{2}){2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}/DATE/' -e 's,[0-9]{4}(/[0-9]{2}){2} [0-9:]{8},DATE,' -e 's/ [0-9:]{8} = / TIME = /' \
        -e 's/ioctl\([34],/ioctl(FD,/' -e 's/[0-9]{8,10}\.[0-9]{6}/EPOCH/g' -e 's/\b[0-9]{8,10}\b/EPOCH/g' \
        -e 's/\(0\.[0-9]+ < 0.[0-9]+\)/(LESS)/' -e 's/ \+ [0-9]; / + D; /' -e 's/(drift is -?[0-9]+)\.[0-9]{6}/\1.F/' \
        -e 's/(adjustment is -?[0-9]*)[0-9] second/\1N second/' -e 's/drifted -?[0-9.]+ seconds in the past ([0-9.]+|EPOCH)/drifted X seconds in the past Y/' \
        -e 's/(factor (of|by|was calculated as)) -?[0-9.]+/\1 X/' -e 's/^(-?[0-9]+\.[0-9])[0-9]+ EPOCH /\1 EPOCH /'
}
prepare() { # both clocks and the file, as before each command
    date -s "2026-11-21 07:00:00" >/dev/null; /bin/hwclock -w -u # busybox's does not wait for a point of the second
    rm -f /etc/adjtime /tmp/adj; [ "$A" = none ] || printf '%s' "$A" | tr '|' '\n' >/etc/adjtime
}
one() { # TOOL FILE ARG…
    tool=$1 file=$2; shift 2
    prepare
    eval '$P $tool "$@" '"$S" >/run/said 2>/run/wrong; echo "exit $?" >$file
    { plain </run/said; echo '-- stderr'; plain </run/wrong; echo '-- adjtime'; cat /etc/adjtime 2>&1 | plain; } >>$file
}
both() {
    echo "== ${P:+$P }hwclock $* $S [$A]"
    one $O /run/ours "$@"; one $T /run/theirs "$@"
    if cmp -s /run/ours /run/theirs; then echo "same $(head -n 1 /run/ours) $(sed -n 2p /run/ours)"
    else echo DIFFERENT; diff /run/theirs /run/ours; fi
}
A=none
both; both -v; both -r; both --get -v; both --show --verbose; both -w -v; both -a; both -a -v; both -a -l -v; both -s -v; both -s -l -v; both --systz -v; both --systz -l -v; both --systz -u -v
both --set --date '2026-12-21 07:00:00' -v; both --set --date '2026-12-21 07:00:00' -l -v; both --set --date '2026-12-21 07:00:00' --update-drift -v
both --predict --date '2026-11-22 07:00:00' -v; both --predict --date '2026-11-22 07:00:00'; both --set; both --predict; both --set --date 'foo bar'; both --date foo -r
# .ci/run ends here, tests/vm/full goes on
both --test; both --test -w; both --test -s -l; both --test -a; both --test --systz; both --test --set --date '2026-12-21'; both --test --predict --date '2026-12-21'
both -w --delay 0 -v; both -w --delay 1.25 --test; both -w --delay 0.1x; both -w --delay=; both -w --delay -1 -v; both -w --delay 1e-3 -v
both -u --noadjfile -v; both -l --noadjfile -w -v; both --noadjfile; both --noadjfile --adjfile=/x -u; both --noadjfile -u --update-drift -w; both --update-drift; both -s --update-drift
both --adjfile=/tmp/adj -w -v; both --adjfile=/nope/x -w; both --adjfile=/dev/full -w; both --adjfile=/etc -w; both --adjfile=/etc -r; both --adjfile=/nope/x -r
both -w -s; both -r -w -a; both -w -w; both -rr; both -u -l; both --get --systz; both --set --predict --date x
both foo bar; both -z; both --zzz; both --utc=1; both --rtc; both -f; both --date; both --v; both --s; both --a; both --h; both --p; both --d; both --de=x; both --sys; both --vl; both --u; both -h foo; both -zV; both -Vz; both -- -r; both -- foo; both -D -r; both -D; both --debug -v
both --getepoch; both --setepoch; both --epoch=1900; both --badyear; both -c; both --compare; both --version; both -V -z
both --rtc=/dev/nope; both --rtc=/dev/nope -v; both --rtc=/dev/null -v; both --rtc=/dev/null; both --rtc=/etc -w; both --rtc=/etc -w -v; both --rtc=/dev/rtc -r -v; both -f /dev/rtc0 -w -v; both --rtc=
both --param-get features; both --param-get 0; both --param-get 0x0 -v; both --param-get correction; both --param-get bsm -v; both --param-get 99; both --param-get 010; both --param-get foo; both --param-get ''; both --param-get -1
both --param-set bsm; both --param-set bsm=x; both --param-set foo=1; both --param-set correction=-5; both --param-set bsm=1; both --param-set bsm=1 -v; both --param-set 2=0x1 --test; both --param-set =1; both --param-set bsm=
both --param-index x --param-get 0; both --param-index 1 --param-get 0; both --param-index -1; both --param-index 4294967296 --param-get 0; both --vl-read; both --vl-read -v; both --vl-clear; both --vl-read --vl-clear; both -w --param-get bsm
for y in 1900-01-01 1969-12-31 1970-01-01 2000-01-01 2069-12-31 2070-01-01 2100-03-01 '9999-12-31 23:59:59'; do [ $y = 1900-01-01 -o $y = 1969-12-31 ] || both --set --utc --noadjfile --date "$y"; both -r -u; done
for A in '2.0 1795158000 0.0|1795158000|UTC|' '-1.5 1795158000 0.0|1795158000|UTC|' '0.5 1795158000 0.0|1795158000|LOCAL|' '3000 1795158000 0|1795158000|UTC|' '1 0 0|0|UTC|' '2.0 1795071600 0.25|1794985200|UTC|' \
    '0.0 1795244000 0.0|1795244000|UTC|' '10 1900000000 0|1900000000|UTC|' '1.5 1795244400|1795244400|UTC|' '1,5 17|5|UTC|' '1.5 1795244400.9 0|1795244400.9|UTC|' '0 0 0|0|utc|' '0 0 0|0| LOCAL|' '0 0 0|0|LOCAL|x' '0 0 0|0|UTC' '0 0 0|0|LOCAL' '0 0 0|0' '0 0 0' '' '|||' 'x|y|z|' \
    '0x1p3 1795158000 1e0|1795158000|UTC|' '0 99999999999999999999 0|0|UTC|' '  0 5 0 trailing|  5 x|UTC|'; do
    both -v; both --get; both -a -v; both -w --update-drift -v
done
A='1.5 1795244400 0.25|1795244400|LOCAL|'
both --predict --date '2026-11-22 07:00:00' -v; both --predict --date '@5' -v; both -a -u; both -s -u; both -w; both -r -u
for zone in Europe/Berlin CET-1CEST,M3.5.0,M10.5.0/3 IST-5:30 ABC+0:20:30 XYZ+2:30 Nowhere/None ''; do P="env TZ=$zone"; both -r -l; both -r -u -v; both -s -v; both --systz -v; done; P='env TZ=IST-5:30'; both -w -l -v; P=
A=none
S='>/dev/full'; both; both --help; both --version; both -w -v; S='>&-'; both; both -w; both --help; S='| head -c 5'; both --help
S=; P='setpriv --reuid 65534 --'; setpriv --reuid 65534 -- true 2>/dev/null || P='/run/as'
printf '#!/bin/sh\nexec su -s /bin/sh nobody -c "$(printf "%%s " "$@")"\n' >/run/as; chmod 755 /run/as; echo nobody:x:65534:65534::/:/bin/sh >>/etc/passwd
both -r; both -w; both --systz; both --test --systz; both --predict --date 2026-11-22
chmod 666 /dev/rtc0; both -r; both -w; both -s; both -a; both --set --date 2026-11-22; chmod 600 /dev/rtc0; P=
sleep 100000 </dev/rtc0 & sleep 0.2; prepare() { rm -f /etc/adjtime; }
both; both -v; both -w; both --rtc=/dev/rtc0 -v; both --systz; both --param-get 0; both --param-set 0=1; both --vl-read; both --vl-clear; kill $!; sleep 0.2
mv /dev/rtc0 /dev/x; mv /dev/rtc /dev/y; both; both -v; both --vl-read; both --vl-clear; both --param-get 0; both --systz -u -v; both --predict --date 2026-11-22; mv /dev/x /dev/rtc0; mv /dev/y /dev/rtc
# registers that hold no time, by way of the ports: the 55th month, with the update cycle stopped; both give up after 10 s
port() { printf "$1" | dd of=/dev/port bs=2 seek=56 count=1 2>/dev/null; }
port '\013\202'; port '\010\125'; both -r; both -v; both --get; both -s; both -a; both --set --date 2026-12-01 -v

