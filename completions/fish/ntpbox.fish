# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_ntpbox_global_optspecs
    string join \n h/help V/version
end

function __fish_ntpbox_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_ntpbox_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_ntpbox_using_subcommand
    set -l cmd (__fish_ntpbox_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c ntpbox -n "__fish_ntpbox_needs_command" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -s V -l version -d 'Print version'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "ntpdate" -d 'set the clock from NTP servers, once'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "ntpq" -d 'Query the NTP daemon by control messages'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "ntpstat" -d 'Say whether the clock is synchronised'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "hwclock" -d 'Time clocks utility.'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "chronyc" -d 'Query and control chronyd'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "timedatectl" -d 'Query or change system time and date settings'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "chronyd" -d 'Follow time servers, steer the clock and serve time'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "ntpd" -d 'Follow servers and serve time by ntp.conf'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "list" -d 'list the applets'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "install" -d 'give the box its legacy names in a directory'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "completions" -d 'print the completion script of a shell'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "man" -d 'print the manual page of an applet'
complete -c ntpbox -n "__fish_ntpbox_needs_command" -f -a "demo" -d 'show the tools at work against servers on loopback'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s a -d 'Authenticate with this key of the key file' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s e -d 'Time that signing a request takes (obsolete)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s k -d 'Key file [default: /etc/ntp/keys]' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s o -d 'NTP version of the requests [default: 4]' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s p -d 'Ask each server for exactly N samples, 1 to 8 [default: as many as help, at most 4]' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s t -d 'Wait this long for each answer, in steps of 0.2 [default: 1]' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s U -d 'Drop root to this user, keeping only the right to set the clock' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -l interval -d 'Gap between two packets to one server [default: 2, on loopback 0]' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -l port -d 'Port of the servers [default: 123]' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -l json -d 'Print one JSON object instead of text' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s 4 -d 'Resolve names to IPv4 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s 6 -d 'Resolve names to IPv6 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s b -d 'Always step the clock'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s B -d 'Always slew the clock'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s d -d 'Do everything but adjust, and print a trace; may be repeated'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s q -d 'Ask only: print a row per server, do not adjust'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s s -d 'Log to syslog instead of the terminal'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s u -d 'Send from an unprivileged port'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s v -d 'Log the version, and why servers were rejected'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpdate" -l version -d 'Print the version'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s c -l command -d 'Run a command and exit; may appear several times' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s D -l set-debug-level -d 'Set the debug level' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s r -l refid -d 'How reference identifiers are shown' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s W -l width -d 'Width of the terminal: above 80 columns the remote column grows' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -l watch -d 'Repeat the commands (peers when there are none) every 2 or SECONDS seconds' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s 4 -l ipv4 -d 'Force IPv4 name resolution'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s 6 -l ipv6 -d 'Force IPv6 name resolution'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s d -l debug-level -d 'Increase the debug level'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s i -l interactive -d 'Force interactive mode'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s n -l numeric -d 'Show numeric host addresses'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -l old-rv -d 'Always print the status line with readvar'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s p -l peers -d 'Print the list of peers (-c peers)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s w -l wide -d 'Show the full remote name'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -l strict -d 'Exit 1 when a command failed'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -l version -d 'Print the version and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpq" -s ? -l help -d 'Print this help and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpstat" -s m -d 'Exit 1 when the error may exceed this many milliseconds' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpstat" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpstat" -s 4 -d 'Ask over IPv4 only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpstat" -s 6 -d 'Ask over IPv6 only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpstat" -s h -l help -d 'Print this help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s d -l ul-debug -d 'print debugging information' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l param-get -d 'display the RTC parameter' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l param-set -d 'set the RTC parameter' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l param-index -d 'parameter index (default 0)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l date -d 'date/time input for --set and --predict' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l delay -d 'delay used when set new RTC time' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s f -l rtc -d 'use an alternate file to /dev/rtc0' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l adjfile -d 'use an alternate file to /etc/adjtime' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s a -l adjust -d 'adjust the RTC to account for systematic drift'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s h -l help -d 'display this help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s l -l localtime -d 'the RTC timescale is Local'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s r -l show -d 'display the RTC time'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s s -l hctosys -d 'set the system time from the RTC'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s u -l utc -d 'the RTC timescale is UTC'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s V -l version -d 'display version'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s w -l systohc -d 'set the RTC from the system time'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s D -l debug -d 'deprecated, use --verbose'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -s v -l verbose -d 'display more details'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l set -d 'set the RTC according to --date'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l vl-read -d 'read voltage low information'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l vl-clear -d 'clear voltage low information'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l noadjfile -d 'do not use /etc/adjtime'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l directisa -d 'use the ISA bus instead of /dev/rtc0 access'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l test -d 'dry run; implies --verbose'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l systz -d 'send timescale configurations to the kernel'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l predict -d 'predict the drifted RTC time according to --date'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l get -d 'display drift corrected RTC time'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand hwclock" -l update-drift -d 'update the RTC drift factor'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s h -d 'Ask these in turn, comma separated: socket path, name or address' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s p -d 'Use this UDP port (323)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s u -d 'Become this user before asking' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s f -d 'Ignored, for compatibility' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -l watch -d 'Repeat a report (every second)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s 4 -d 'Use IPv4 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s 6 -d 'Use IPv6 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s n -d 'Do not look names up'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s N -d 'Print sources as they are configured'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s c -d 'Print comma separated values'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s e -d 'End every response with a line of one dot'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s m -d 'Take every argument as a command'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s w -d 'Print wider tables'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s d -d 'Ignored, for compatibility'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s a -d 'Ignored, for compatibility'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -s v -l version -d 'Print the version'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyc" -l help -d 'Print the options'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -s H -l host -d 'Operate on remote host (refused: use ssh)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -s M -l machine -d 'Operate on local container (only .host)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -s p -l property -d 'Show only properties by this name' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -s P -d 'Equivalent to --value --property=NAME' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -s h -l help -d 'Show this help message'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -l version -d 'Show package version'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -l no-pager -d 'Do not pipe output into a pager'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -l no-ask-password -d 'Do not prompt for password'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -l adjust-system-clock -d 'Adjust system clock when changing local RTC mode'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -l monitor -d 'Monitor status of systemd-timesyncd'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -s a -l all -d 'Show all properties, including empty ones'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand timedatectl" -l value -d 'When showing properties, only print the value'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s f -d 'Specify configuration file' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s l -d 'Log to file' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s L -d 'Set logging threshold' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s t -d 'Exit after elapsed time' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s u -d 'Specify user' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s F -d 'Set system call filter level (accepted, no effect)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s P -d 'Set process priority' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s N -d 'Notify supervisor' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s 4 -d 'Use IPv4 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s 6 -d 'Use IPv6 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s n -d 'Don\'t run as daemon'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s d -d 'Don\'t run as daemon and log to stderr'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s p -d 'Print configuration and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s q -d 'Set clock and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s Q -d 'Log offset and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s r -d 'Reload dump files'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s R -d 'Adapt configuration for restart'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s s -d 'Set clock from RTC'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s U -d 'Don\'t check for root'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s m -d 'Lock memory'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s x -d 'Don\'t control clock'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -l check -d 'Check the configuration, name what has no effect, and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s v -l version -d 'Print version and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand chronyd" -s h -l help -d 'Print usage and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s c -l configfile -d 'Configuration file name' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s D -l set-debug-level -d 'Set the debug verbosity level (no effect)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s f -l driftfile -d 'Frequency drift file name' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s i -l jaildir -d 'Jail directory (no effect)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s I -l interface -d 'Listen on this address' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s k -l keyfile -d 'Path to symmetric keys' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s l -l logfile -d 'Path to the log file' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s p -l pidfile -d 'Path to the PID file' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s P -l priority -d 'Process priority' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s r -l propagationdelay -d 'Broadcast delay' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -l saveconfigquit -d 'Save parsed configuration and quit (refused)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s s -l statsdir -d 'Statistics file location' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s t -l trustedkey -d 'Trusted key number' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s u -l user -d 'Run as this user' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s U -l updateinterval -d 'Interval between scans for interfaces (no effect)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -l var -d 'Make an ntp variable' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -l dvar -d 'Make an ntp variable of the default list' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s w -l wait-sync -d 'Seconds to wait for first clock sync (no effect)' -r
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s 4 -l ipv4 -d 'Use IPv4 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s 6 -l ipv6 -d 'Use IPv6 addresses only'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s a -l authreq -d 'Require crypto authentication'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s A -l authnoreq -d 'Do not require crypto authentication'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s b -l bcastsync -d 'Allow us to sync to broadcast servers'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s d -l debug-level -d 'Do not fork, log to the terminal'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s g -l panicgate -d 'Allow the first adjustment to be big'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s G -l force-step-once -d 'Step any initial offset correction'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s L -l novirtualips -d 'Do not listen to virtual interfaces (no effect)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s m -l memlock -d 'Lock memory'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s n -l nofork -d 'Do not fork'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s N -l nice -d 'Run at high priority'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s q -l quit -d 'Set the time and quit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s x -l slew -d 'Slew up to 600 seconds'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -l check -d 'Check the configuration, name the lines that are left out or have no effect, and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s V -l version -d 'Output version information and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand ntpd" -s ? -l help -d 'Print usage and exit'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand list" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand list" -s l -l long -d 'Show kind, man section and summary too'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand list" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -l symlink -d 'Make symbolic links (the default)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -l copy -d 'Make copies of the executable'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -s f -l force -d 'Replace files of other programs too'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -s n -l dry-run -d 'Only print what would be done'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand install" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand completions" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand completions" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -l roff -d 'Print it for man(1) (the default when stdout is no terminal)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -l text -d 'Print it as plain text (the default on a terminal)'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand man" -s h -l help -d 'Print help'
complete -c ntpbox -n "__fish_ntpbox_using_subcommand demo" -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c ntpbox -n "__fish_ntpbox_using_subcommand demo" -s h -l help -d 'Print help'
