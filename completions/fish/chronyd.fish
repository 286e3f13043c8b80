complete -c chronyd -s f -d 'Specify configuration file' -r
complete -c chronyd -s l -d 'Log to file' -r
complete -c chronyd -s L -d 'Set logging threshold' -r
complete -c chronyd -s t -d 'Exit after elapsed time' -r
complete -c chronyd -s u -d 'Specify user' -r
complete -c chronyd -s F -d 'Set system call filter level (accepted, no effect)' -r
complete -c chronyd -s P -d 'Set process priority' -r
complete -c chronyd -s N -d 'Notify supervisor' -r
complete -c chronyd -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c chronyd -s 4 -d 'Use IPv4 addresses only'
complete -c chronyd -s 6 -d 'Use IPv6 addresses only'
complete -c chronyd -s n -d 'Don\'t run as daemon'
complete -c chronyd -s d -d 'Don\'t run as daemon and log to stderr'
complete -c chronyd -s p -d 'Print configuration and exit'
complete -c chronyd -s q -d 'Set clock and exit'
complete -c chronyd -s Q -d 'Log offset and exit'
complete -c chronyd -s r -d 'Reload dump files'
complete -c chronyd -s R -d 'Adapt configuration for restart'
complete -c chronyd -s s -d 'Set clock from RTC'
complete -c chronyd -s U -d 'Don\'t check for root'
complete -c chronyd -s m -d 'Lock memory'
complete -c chronyd -s x -d 'Don\'t control clock'
complete -c chronyd -l check -d 'Check the configuration, name what has no effect, and exit'
complete -c chronyd -s v -l version -d 'Print version and exit'
complete -c chronyd -s h -l help -d 'Print usage and exit'
