"""Language models behind an endpoint that speaks OpenAI's chat completions. No torch, and no library, here.

`endpoint`: where it is and what may be sent there. `client`: one request and its reply. `questions`: what is asked.
`replies`: what of a reply counts. `asking`: the reply to a question, from the store's cache before the network.
"""
