module noteflow.example/webhooks

go 1.19
