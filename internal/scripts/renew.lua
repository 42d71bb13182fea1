-- renew: let each lock that is ours live for at least its TTL from now.
-- KEYS locks    ARGV for each lock: token, TTL in ms
-- Replies this server's clock in µs, -1 if TIME is not permitted, and then for
-- each lock: how many ms it had left if it is ours, -1 nothing there, -2 somebody
-- else's, -3 ours and without an end until now, or the error's text, so that one
-- bad key does not cost the others their renewal.
-- A life is never shortened: a longer extension may have come before.
local clock = redis.pcall('TIME')
local votes = {clock.err and -1 or tonumber(clock[1]) * 1000000 + tonumber(clock[2])}
for i, key in ipairs(KEYS) do
  local token, ttl = ARGV[2 * i - 1], ARGV[2 * i]
  -- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
  local holder = redis.pcall('GETRANGE', key, '0', '1024')
  if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
    holder = redis.pcall('GET', key)
  end
  if type(holder) == 'table' then
    votes[i + 1] = holder.err
  elseif holder == token then
    local left = redis.call('PTTL', key)
    if left < tonumber(ttl) then
      redis.call('PEXPIRE', key, ttl)
    end
    votes[i + 1] = left >= 0 and left or -3
  else
    votes[i + 1] = holder and -2 or -1
  end
end
return votes
