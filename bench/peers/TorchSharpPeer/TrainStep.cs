using static TorchSharp.torch;
using static TorchSharp.torch.nn;

namespace TorchSharpPeer;

/// <summary>One step of training on a batch that is in memory: forward, cross-entropy, backward, SGD with momentum.</summary>
internal static class TrainStep
{
    public static Action? Open(string model, int batch) => model switch
    {
        "mlp" => Step(Mlp(), randn(batch, 784), batch),
        // Its encoder takes [positions, batch, features].
        "transformer" => Step(new Transformer(), randn(128, batch, 256), batch * 128),
        "convnet" => Step(ConvNet(), randn(batch, 1, 28, 28), batch),
        _ => null,
    };

    private static Module<Tensor, Tensor> Mlp() =>
        Sequential(Linear(784, 1024), ReLU(), Linear(1024, 1024), ReLU(), Linear(1024, 10));

    private static Module<Tensor, Tensor> ConvNet() => Sequential(
        Conv2d(1, 32, 3, padding: 1), ReLU(), MaxPool2d(2), Conv2d(32, 64, 3, padding: 1), ReLU(), MaxPool2d(2),
        Flatten(), Linear(64 * 7 * 7, 128), ReLU(), Linear(128, 10));

    private static Action Step(Module<Tensor, Tensor> model, Tensor inputs, int labelCount)
    {
        Tensor labels = randint(10, labelCount, dtype: ScalarType.Int64);
        optim.Optimizer optimizer = optim.SGD(model.parameters(), 0.01, momentum: 0.9);
        model.train();
        return () =>
        {
            optimizer.zero_grad();
            functional.cross_entropy(model.call(inputs), labels).backward();
            optimizer.step();
        };
    }

    private sealed class Transformer : Module<Tensor, Tensor>
    {
        private readonly TorchSharp.Modules.TransformerEncoder _encoder = TransformerEncoder(TransformerEncoderLayer(256, 4, 1024, 0), 2);
        private readonly TorchSharp.Modules.Linear _head = Linear(256, 10);

        public Transformer()
            : base("transformer") => RegisterComponents();

        public override Tensor forward(Tensor input) => _head.call(_encoder.call(input, null!, null!)).reshape(-1, 10);
    }
}
