# Completes holdfast's words in fish: holdfast completion fish | source
function __holdfast_words
    set -l words (commandline -opc) (commandline -ct)
    set -l lines (holdfast __complete $words[2..] 2>/dev/null)
    if test "$lines" = '!command'
        __fish_complete_command
    else
        string join \n -- $lines
    end
end
complete -c holdfast -f -a '(__holdfast_words)'
