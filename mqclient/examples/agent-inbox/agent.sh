#!/bin/sh
# For each message to an agent: keeps it, has the agent answer it, posts the answer to the sender.
# mq listen runs this: the text is on the standard input, the rest in the environment.
# Success acks the message. After a failure the server delivers it again.
set -eu

# A list has changed, or another node of our own user has posted: nothing to answer.
[ "$MQ_KIND" = deliver ] && [ "$MQ_FROM" != "$MQ_USER" ] || exit 0

inbox=${AGENT_INBOX:-inbox}
mkdir -p "$inbox"
# If the power failed between the answer and the ack, the message comes once more.
[ ! -e "$inbox/$MQ_ID.done" ] || exit 0

cat > "$inbox/$MQ_ID"
${AGENT:-wc -w} < "$inbox/$MQ_ID" > "$inbox/$MQ_ID.answer"
mq post "user:$MQ_FROM" -f "$inbox/$MQ_ID.answer"
mv "$inbox/$MQ_ID.answer" "$inbox/$MQ_ID.done"
