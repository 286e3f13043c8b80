complete -c clock -s d -l ul-debug -d 'print debugging information' -r
complete -c clock -l param-get -d 'display the RTC parameter' -r
complete -c clock -l param-set -d 'set the RTC parameter' -r
complete -c clock -l param-index -d 'parameter index (default 0)' -r
complete -c clock -l date -d 'date/time input for --set and --predict' -r
complete -c clock -l delay -d 'delay used when set new RTC time' -r
complete -c clock -s f -l rtc -d 'use an alternate file to /dev/rtc0' -r
complete -c clock -l adjfile -d 'use an alternate file to /etc/adjtime' -r
complete -c clock -l json -d 'Print one JSON object (pretty, short, off; alone: pretty on a terminal)' -r -f -a "pretty\t''
short\t''
off\t''"
complete -c clock -s a -l adjust -d 'adjust the RTC to account for systematic drift'
complete -c clock -s h -l help -d 'display this help'
complete -c clock -s l -l localtime -d 'the RTC timescale is Local'
complete -c clock -s r -l show -d 'display the RTC time'
complete -c clock -s s -l hctosys -d 'set the system time from the RTC'
complete -c clock -s u -l utc -d 'the RTC timescale is UTC'
complete -c clock -s V -l version -d 'display version'
complete -c clock -s w -l systohc -d 'set the RTC from the system time'
complete -c clock -s D -l debug -d 'deprecated, use --verbose'
complete -c clock -s v -l verbose -d 'display more details'
complete -c clock -l set -d 'set the RTC according to --date'
complete -c clock -l vl-read -d 'read voltage low information'
complete -c clock -l vl-clear -d 'clear voltage low information'
complete -c clock -l noadjfile -d 'do not use /etc/adjtime'
complete -c clock -l directisa -d 'use the ISA bus instead of /dev/rtc0 access'
complete -c clock -l test -d 'dry run; implies --verbose'
complete -c clock -l systz -d 'send timescale configurations to the kernel'
complete -c clock -l predict -d 'predict the drifted RTC time according to --date'
complete -c clock -l get -d 'display drift corrected RTC time'
complete -c clock -l update-drift -d 'update the RTC drift factor'
