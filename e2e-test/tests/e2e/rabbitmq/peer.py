"""Another program at the same RabbitMQ, written without any of our code.

peer.py PORT VIRTUAL_HOST listen    binds a queue of its own to everything, says "listening",
                                    and prints each message as one line of JSON
peer.py PORT VIRTUAL_HOST publish   publishes the messages on standard input, one line of JSON each
peer.py PORT VIRTUAL_HOST take Q    takes all messages out of queue Q and prints them
"""

import json
import sys

import pika

PROPERTIES = (
    "content_type content_encoding headers delivery_mode priority correlation_id reply_to expiration "
    "message_id timestamp type user_id app_id cluster_id"
).split()


def show(method, properties, body):
    present = {name: getattr(properties, name) for name in PROPERTIES}
    print(
        json.dumps(
            {
                "exchange": method.exchange,
                "routing_key": method.routing_key,
                "properties": {name: value for name, value in present.items() if value is not None},
                "body": body.decode("utf-8", "replace"),
            },
            default=str,
        ),
        flush=True,
    )


def listen(channel):
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "release-manager", "#")
    print("listening", flush=True)
    for method, properties, body in channel.consume(queue, auto_ack=True):
        show(method, properties, body)


def publish(channel):
    channel.confirm_delivery()
    for line in sys.stdin:
        message = json.loads(line)
        body = message["body"].encode() * message.get("times", 1)
        channel.basic_publish(
            "release-manager",
            message["routing_key"],
            body,
            pika.BasicProperties(**message["properties"]),
            mandatory=True,
        )


def take(channel, queue):
    while True:
        method, properties, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return
        show(method, properties, body)


def main():
    port, virtual_host, command, *arguments = sys.argv[1:]
    credentials = pika.PlainCredentials("guest", "guest")
    parameters = pika.ConnectionParameters("127.0.0.1", int(port), virtual_host, credentials)
    channel = pika.BlockingConnection(parameters).channel()
    {"listen": listen, "publish": publish, "take": take}[command](channel, *arguments)


main()
