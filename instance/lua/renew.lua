-- renew: let each lock that is ours live for at least its TTL from now.
-- KEYS locks    ARGV for each lock: token, TTL in ms
-- Replies for each lock: 1 ours, 0 nothing there, -1 somebody else's, or the
-- error's text, so that one bad key does not cost the others their renewal.
-- A life is never shortened: a longer extension may have come before.
local votes = {}
for i, key in ipairs(KEYS) do
  local token, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  local holder = redis.pcall('GET', key)
  if type(holder) == 'table' then
    votes[i] = holder.err
  elseif holder == token then
    if redis.call('PTTL', key) < tonumber(ttl) then
      redis.call('PEXPIRE', key, ttl)
    end
    votes[i] = 1
  else
    votes[i] = holder and -1 or 0
  end
end
return votes
