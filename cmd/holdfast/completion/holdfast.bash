# Completes holdfast's words in bash: source <(holdfast completion bash)
_holdfast() {
	local current="${COMP_WORDS[COMP_CWORD]}" words IFS=$'\n'
	words=$(holdfast __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f 1)
	if [ "$words" = '!command' ]; then
		COMPREPLY=($(compgen -c -- "$current"))
	else
		COMPREPLY=($words)
	fi
}
complete -o default -F _holdfast holdfast
