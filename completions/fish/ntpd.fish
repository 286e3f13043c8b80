complete -c ntpd -s c -l configfile -d 'Configuration file name' -r
complete -c ntpd -s D -l set-debug-level -d 'Set the debug verbosity level (no effect)' -r
complete -c ntpd -s f -l driftfile -d 'Frequency drift file name' -r
complete -c ntpd -s i -l jaildir -d 'Jail directory (no effect)' -r
complete -c ntpd -s I -l interface -d 'Listen on this address' -r
complete -c ntpd -s k -l keyfile -d 'Path to symmetric keys' -r
complete -c ntpd -s l -l logfile -d 'Path to the log file' -r
complete -c ntpd -s p -l pidfile -d 'Path to the PID file' -r
complete -c ntpd -s P -l priority -d 'Process priority' -r
complete -c ntpd -s r -l propagationdelay -d 'Broadcast delay' -r
complete -c ntpd -l saveconfigquit -d 'Save parsed configuration and quit (refused)' -r
complete -c ntpd -s s -l statsdir -d 'Statistics file location' -r
complete -c ntpd -s t -l trustedkey -d 'Trusted key number' -r
complete -c ntpd -s u -l user -d 'Run as this user' -r
complete -c ntpd -s U -l updateinterval -d 'Interval between scans for interfaces (no effect)' -r
complete -c ntpd -l var -d 'Make an ntp variable' -r
complete -c ntpd -l dvar -d 'Make an ntp variable of the default list' -r
complete -c ntpd -s w -l wait-sync -d 'Seconds to wait for first clock sync (no effect)' -r
complete -c ntpd -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpd -s 4 -l ipv4 -d 'Use IPv4 addresses only'
complete -c ntpd -s 6 -l ipv6 -d 'Use IPv6 addresses only'
complete -c ntpd -s a -l authreq -d 'Require crypto authentication'
complete -c ntpd -s A -l authnoreq -d 'Do not require crypto authentication'
complete -c ntpd -s b -l bcastsync -d 'Allow us to sync to broadcast servers'
complete -c ntpd -s d -l debug-level -d 'Do not fork, log to the terminal'
complete -c ntpd -s g -l panicgate -d 'Allow the first adjustment to be big'
complete -c ntpd -s G -l force-step-once -d 'Step any initial offset correction'
complete -c ntpd -s L -l novirtualips -d 'Do not listen to virtual interfaces (no effect)'
complete -c ntpd -s m -l memlock -d 'Lock memory'
complete -c ntpd -s n -l nofork -d 'Do not fork'
complete -c ntpd -s N -l nice -d 'Run at high priority'
complete -c ntpd -s q -l quit -d 'Set the time and quit'
complete -c ntpd -s x -l slew -d 'Slew up to 600 seconds'
complete -c ntpd -l check -d 'Check the configuration, name the lines that are left out or have no effect, and exit'
complete -c ntpd -s V -l version -d 'Output version information and exit'
complete -c ntpd -s ? -l help -d 'Print usage and exit'
