# Run in the systemd guest by timedated.rs: our timedatectl beside the real one. Says "same" or "DIFFERENT", and why.
exec 2>&1
R=/usr/bin/timedatectl O=/usr/local/bin/timedatectl
units='systemd-timesyncd chrony chronyd'
as=''
slurp() { IFS= read -rd '' "$1" <"$2"; } # a file into a variable, without another process
theirs() { # a busy machine may not get its service up in time
    for try in 1 2 3; do
        (exec -a timedatectl $as $R "$@") >/run/out 2>/run/err; rc=$?; slurp out /run/out; slurp err /run/err
        [[ $err == *service_start_timeout* || $err == *'without replying'* ]] || break
    done
    t="$out-- stderr
${err}exit $rc"
}
ours() { # its remarks, which unit it switched and how, are left out
    (exec -a timedatectl $as $O "$@") >/run/out 2>/run/err; rc=$?; slurp out /run/out; slurp err /run/err; said=$err err=
    while IFS= read -r line; do [[ $line == 'timedatectl: '*' by systemd' ]] || err+=$line$'\n'; done <<<"${said%$'\n'}"
    [ -n "$said" ] || err=
    o="$out-- stderr
${err}exit $rc"
}
differ() { echo "DIFFERENT: $*"; diff <(echo "$t") <(echo "$o"); }
fresh() { systemctl stop systemd-timedated; } # it keeps what it read for half a minute
both() { # ARGS: the same answer, but for the seconds; a minute may pass between them
    for try in 1 2 3 4; do
        theirs "$@"; ours "$@"
        t=${t//:[0-9][0-9][[:space:]]/:SS } o=${o//:[0-9][0-9][[:space:]]/:SS } # what may pass between them
        [ "$t" = "$o" ] && { echo "same: $*: exit $rc: ${t%%$'\n'*}"; return; }
    done
    differ "$@"
}
state() { # to a variable: what either may have changed; clock and RTC within minutes of where they would be
    local up c r a=; read -r up _ </proc/uptime; c=$EPOCHSECONDS; r=$(</sys/class/rtc/rtc0/since_epoch); [ ! -e /etc/adjtime ] || slurp a /etc/adjtime
    printf -v "$1" '%s\n' "zone $(readlink /etc/localtime)" "adjtime ${a//$'\n'/|}" "clock $(( (c - boot - ${up%.*} + 600000300) / 600 - 1000000 )) rtc-clock $(( (r - c + 1000000050) / 100 - 10000000 ))" \
        "$(systemctl show -p Id,UnitFileState,ActiveState $units | paste -sd ' ' | sed 's/  /\n/g')"
}
restore() {
    local now unit; state now; [ "$now" = "$before" ] && return
    rm -f /etc/localtime /etc/adjtime; cp -P /run/localtime /etc/localtime; [ ! -e /run/adjtime ] || cp /run/adjtime /etc/adjtime
    read -r up _ </proc/uptime; date -s @$(( clock + ${up%.*} )) >/dev/null; hwclock --set -u --noadjfile --date @$(( clock + rtc + ${up%.*} ))
    for unit in $units; do
        had=$(grep "^Id=$unit[.]" <<<"$before"); grep -qxF "$had" <<<"$now" && continue
        case $had in *State=enabled*) systemctl enable -q $unit;; *) systemctl disable -q $unit;; esac
        case $had in *ActiveState=active*) systemctl start $unit;; *) systemctl stop $unit;; esac
    done 2>/dev/null
}
change() { # ARGS: from the same state the same answer, and the same state left behind
    rm -f /run/localtime /run/adjtime; cp -P /etc/localtime /run/localtime; [ ! -e /etc/adjtime ] || cp /etc/adjtime /run/adjtime
    read -r up _ </proc/uptime; clock=$(( EPOCHSECONDS - ${up%.*} )) rtc=$(( $(</sys/class/rtc/rtc0/since_epoch) - EPOCHSECONDS ))
    state before; fresh; theirs "$@"; sleep 0.3; state after_theirs; restore; state again
    [ "$before" = "$again" ] || { echo "DIFFERENT START: $*"; diff <(echo "$before") <(echo "$again"); }
    ours "$@"; sleep 0.3; state after_ours
    if [ "$t" = "$o" ] && [ "$after_theirs" = "$after_ours" ]; then echo "same: $*: exit $rc: $(diff <(echo "$before") <(echo "$after_ours") | sed -n 's/^> //p' | paste -sd ';')"
    else differ "$@"; diff <(echo "$after_theirs") <(echo "$after_ours"); echo "$said"; fi
    fresh
}
have() { # PACKAGE…: the host has just these time services
    echo "== $*"
    systemctl disable -q --now $units 2>/dev/null; systemctl unmask -q $units 2>/dev/null
    rm -f /etc/systemd/system/{chrony,chronyd}.service; wanted=" $* "
    for p in 'chrony 50-chrony' 'systemd-timesyncd 80-systemd-timesync' 'chronyd 50-chronyd'; do
        service=${p% *}.service list=${p#* }.list from=/usr/lib/systemd to=/run/away
        case $wanted in *" ${p% *} "*) from=/run/away to=/usr/lib/systemd;; esac
        mv $from/system/$service $to/system/ 2>/dev/null; mv $from/ntp-units.d/$list $to/ntp-units.d/ 2>/dev/null
    done
    systemctl daemon-reload; fresh; both show -p CanNTP
}
read -r up _ </proc/uptime; boot=$(( $(date +%s) - ${up%.*} )); hwclock -w -u --noadjfile; rm -f /etc/adjtime; ln -sf ../usr/share/zoneinfo/Etc/UTC /etc/localtime
mkdir -p /run/away/{system,ntp-units.d}; cp chronyd.service /run/away/system/; cp 50-chronyd.list /run/away/ntp-units.d/

have systemd-timesyncd
change set-ntp 1; change set-ntp 0; change set-ntp TRUE
for words in '' status show 'show -a' 'show --value' 'show -p NTP' 'show -P Timezone' 'show -p NTP,CanNTP' 'show -p Nothing' 'show -p NTP=yes -p CanNTP' \
    'show -p RTCTimeUSec --value' '--no-pager list-timezones' '--no-ask-password status' '-M .host status' '--help' '-h extra' '--adjust' \
    foo stat stats se set list showw set-tz STATUS xyzzyxyzzy 'status extra' 'show x' set-time set-timezone set-local-rtc set-ntp \
    'set-ntp 1 2' 'set-time 2030-01-02 03:04:05' 'list-timezones x' 'set-ntp maybe' 'set-ntp 2' 'set-ntp enabled' 'set-local-rtc x' \
    'set-timezone Foo/Bar' 'set-timezone ../etc' 'set-timezone ../../etc/passwd' 'set-timezone /Europe/Paris' 'set-timezone Europe//Paris' 'set-timezone Europe/' \
    'set-timezone Europe' 'set-timezone zone.tab' 'set-timezone europe/paris' \
    'set-time bogus' 'set-time 2030-01-02' 'set-time @-1' 'set-time 1969-01-01' 'set-time -5min' 'set-time 10000-01-01' 'set-time 2026/01/01' \
    --foo --monitor=x --a --property -p -Z 'ntp-servers' 'ntp-servers lo' 'revert' 'timesync-status x' 'show-timesync x'
do both $words; done
both ''; both set-timezone ''; both set-ntp ''; both set-time ''; both set-time ' 2030-01-01'; both set-time '2030-01-01 '
as='setpriv --reuid=65534 --regid=65534 --clear-groups'
both; both show; both set-timezone Asia/Tokyo; both set-ntp 0; both set-time 2030-01-01; both set-timezone Etc/UTC; both set-local-rtc 0; both set-local-rtc 1; both set-timezone Foo
as=

# set while no service is active
systemctl stop systemd-timesyncd; fresh
both; both show
change set-time '2027-01-02 03:04:05'; change set-time +3h; change set-time -- -50min; change set-time @1893456000
both set-time @0; both set-time '1970-01-01 00:00:00 UTC'; change set-time @1; both set-time 2300-01-01
change set-timezone UTC; both set-timezone Foo/Bar
change set-timezone America/New_York
both; both show; both show -p TimeUSec; export TZ=Asia/Tokyo; both; both show; unset TZ
change set-local-rtc 1; both; both show
change set-timezone Asia/Shanghai; change set-time '2027-01-02 03:04:05'; change --adjust-system-clock set-local-rtc 1; change set-local-rtc yes
change --adjust-system-clock set-local-rtc 0; change set-local-rtc 0
for text in '0.0 0 0|0|LOCAL' '1.5 1700000000 0.1|1700000000|UTC|extra|' '1.5 1700000000 0.1' '' '0.0 0 0|0|local|'; do
    printf %s "$text" | tr '|' '\n' >/etc/adjtime; fresh; both show -p LocalRTC; change set-local-rtc 1
done
printf '1.5 1700000000 0.1\n1700000000\nLOCAL\n' >/etc/adjtime; change set-local-rtc 0
rm -f /etc/adjtime

# what a host may have made of /etc/localtime and the hardware clock
for link in /usr/share/zoneinfo/Asia/Tokyo //usr//share/zoneinfo/./Asia/Tokyo ../../usr/share/zoneinfo/Asia/Tokyo ../usr/share/zoneinfo/Etc/../Asia/Tokyo /usr/share/zoneinfo/Nowhere/Gone /opt/z/IST; do
    ln -sfn $link /etc/localtime; fresh; both; both show
done
rm /etc/localtime; fresh; both; both show; cp /usr/share/zoneinfo/Europe/Paris /etc/localtime; fresh; both; both show; both show --all
change set-timezone Asia/Tokyo; ln -sf ../usr/share/zoneinfo/Etc/UTC /etc/localtime; fresh
sleep 10000 </dev/rtc0 & holder=$!; both; both show; both show -a; both show -p RTCTimeUSec; kill $holder; sleep 0.5
mv /dev/rtc /run/rtc; mv /dev/rtc0 /run/rtc0; both; both show; both show -a; mv /run/rtc0 /dev/rtc0; mv /run/rtc /dev/rtc
systemctl start systemd-timesyncd; both timesync-status; both show-timesync; both show-timesync --all
both set-time 2030-01-01; both set-time @0
systemctl mask -q --now systemd-timesyncd; fresh; both; both show; change set-ntp 1; change set-ntp 0; systemctl unmask -q systemd-timesyncd
mount --bind -o ro /etc /etc; change set-timezone Asia/Tokyo; change set-local-rtc 1; umount /etc

have chrony
change set-ntp 1; change set-ntp 0; change set-ntp 1; both; both show; both set-time 2030-01-01; change set-ntp 0; both

have chrony systemd-timesyncd
change set-ntp 1; change set-ntp 0; change set-ntp 1; both show; change set-ntp 0; systemctl enable -q --now systemd-timesyncd; both; change set-ntp 1; both
systemctl stop chrony; systemctl start systemd-timesyncd; both show; change set-ntp 0; systemctl mask -q chrony; change set-ntp 1; systemctl unmask -q chrony

have
both; both show; change set-ntp 1; change set-ntp 0; both set-time bogus

ln -sf /usr/local/bin/ntpbox /usr/sbin/chronyd
have chronyd
change set-ntp 1; change set-ntp 0; change set-ntp 1; both; both show; both set-time 2030-01-01; change set-ntp 0; both show
have chronyd systemd-timesyncd
change set-ntp 1; change set-ntp 0; systemctl enable -q --now systemd-timesyncd; change set-ntp 1; both; change set-ntp 0
echo end
