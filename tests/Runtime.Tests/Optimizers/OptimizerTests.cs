using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public sealed class OptimizerTests() : OperationTests(TestDevice.Vector128)
{
    private static readonly float[][] s_gradients = [[1f, -2f, 0.5f], [0.25f, 1f, -1f], [-0.5f, 0f, 2f]];

    [Theory]
    [InlineData(0f, 0f, false)]
    [InlineData(0.9f, 0f, false)]
    [InlineData(0.9f, 0.1f, true)]
    public void Sgd_follows_PyTorchs_rule(float momentum, float weightDecay, bool nesterov)
    {
        double[] expected = [1, 2, 3], buffer = new double[3];
        for (int step = 0; step < 3; step++)
            for (int i = 0; i < 3; i++)
            {
                double g = s_gradients[step][i] + (weightDecay * expected[i]);
                buffer[i] = step == 0 ? g : (momentum * buffer[i]) + g;
                expected[i] -= 0.1 * (momentum == 0 ? g : nesterov ? g + (momentum * buffer[i]) : buffer[i]);
            }

        Numbers.AssertClose(expected, Run(parameters => new Sgd(parameters, momentum, weightDecay, nesterov)));
    }

    [Theory]
    [InlineData(0f, false)]
    [InlineData(0.1f, false)]
    [InlineData(0.1f, true)]
    public void Adam_and_AdamW_follow_PyTorchs_rules(float weightDecay, bool isDecoupled)
    {
        double[] expected = [1, 2, 3], first = new double[3], second = new double[3];
        for (int step = 0; step < 3; step++)
            for (int i = 0; i < 3; i++)
            {
                double g = s_gradients[step][i] + (isDecoupled ? 0 : weightDecay * expected[i]);
                if (isDecoupled) expected[i] *= 1 - (0.1 * weightDecay);
                first[i] = (0.9 * first[i]) + (0.1 * g);
                second[i] = (0.999 * second[i]) + (0.001 * g * g);
                double correctedFirst = first[i] / (1 - Math.Pow(0.9, step + 1)), correctedSecond = second[i] / (1 - Math.Pow(0.999, step + 1));
                expected[i] -= 0.1 * correctedFirst / (Math.Sqrt(correctedSecond) + 1e-8);
            }

        Numbers.AssertClose(expected, Run(parameters => isDecoupled ? new AdamW(parameters, weightDecay: weightDecay) : new Adam(parameters, weightDecay: weightDecay)), 1e-5f);
    }

    [Theory]
    [InlineData("sgd")]
    [InlineData("adam")]
    public void Saved_state_lets_another_optimizer_go_on_with_the_same_bits(string name)
    {
        using ParameterHolder whole = Holder(), parted = Holder();
        using Optimizer one = Make(whole), first = Make(parted), second = Make(parted);
        for (int step = 0; step < 3; step++) Step(whole, one, step);

        for (int step = 0; step < 2; step++) Step(parted, first, step);
        second.LoadState(Stream, first.SaveState());
        second.StepCount = first.StepCount;
        Step(parted, second, 2);

        Assert.Equal(name == "sgd" ? ["p0.momentum"] : ["p0.moment1", "p0.moment2"], first.SaveState().Keys);
        Numbers.AssertSameBits(Read(whole.Parameters()[0].Value), Read(parted.Parameters()[0].Value));

        Optimizer Make(Module module) => name == "sgd" ? new Sgd(module.Parameters(), 0.9f) : new Adam(module.Parameters());
    }

    [Fact]
    public void State_that_does_not_fit_is_refused()
    {
        using ParameterHolder holder = Holder();
        using Sgd optimizer = new(holder.Parameters(), 0.9f);

        StateMismatchException failure = Assert.Throws<StateMismatchException>(() =>
            optimizer.LoadState(Stream, new Dictionary<string, Tensor> { ["p0.moment1"] = Zeros(new Shape(3)), ["p0.momentum"] = Zeros(new Shape(4)) }));

        Assert.Equal("the saved state does not fit: 1 unexpected (p0.moment1); 1 of another shape (p0.momentum is [4], expected [3])", failure.Message);
    }

    [Fact]
    public void A_step_changes_versions_of_parameters_with_gradients_only()
    {
        using ParameterHolder holder = new(Stream, [new Shape(3), new Shape(3)]);
        using GradientStore store = new(holder.Parameters());
        using Sgd optimizer = new(holder.Parameters());
        store.TryTarget(Stream, holder.Parameters()[0], out Tensor gradient, out _);
        gradient.Clear(Stream);
        long[] before = [.. holder.Parameters().Select(parameter => parameter.Version)];

        optimizer.Step(Stream, store, 0.1f);

        Assert.Equal([before[0] + 1, before[1]], holder.Parameters().Select(parameter => parameter.Version));
        Assert.Equal(1, optimizer.StepCount);
    }

    [Fact]
    public void Clipping_scales_all_gradients_by_one_factor()
    {
        using ParameterHolder holder = new(Stream, [new Shape(2), new Shape(1)]);
        using GradientStore store = new(holder.Parameters());
        using GradientClipping clipping = new(store, maxNorm: 1);
        Set(store, holder.Parameters()[0], 2f, -3f);
        Set(store, holder.Parameters()[1], 6f);

        clipping.Clip(Stream);

        Numbers.AssertClose((float[])[7f], Read(clipping.Norm!));
        Numbers.AssertClose((float[])[2f / 7, -3f / 7], Read(store.Of(holder.Parameters()[0])!));
        Numbers.AssertClose((float[])[6f / 7], Read(store.Of(holder.Parameters()[1])!));
    }

    [Fact]
    public void Schedules_are_functions_of_the_step()
    {
        LearningRateSchedule steps = LearningRateSchedule.Steps(1, 10), cosine = LearningRateSchedule.Cosine(1, 100, 0.2f), warm = LearningRateSchedule.Constant(0.5f).WithWarmUp(5);

        Numbers.AssertClose((float[])[1f, 1f, 0.1f, 0.01f], [.. ((long[])[0, 9, 10, 29]).Select(steps.At)]);
        Numbers.AssertClose((float[])[1f, 0.6f, 0.2f, 0.2f], [.. ((long[])[0, 50, 100, 1000]).Select(cosine.At)]);
        Numbers.AssertClose((float[])[0.1f, 0.2f, 0.5f, 0.5f], [.. ((long[])[0, 1, 4, 5]).Select(warm.At)]);
    }

    private float[] Run(Func<IReadOnlyList<Parameter>, Optimizer> create)
    {
        using ParameterHolder holder = Holder();
        using Optimizer optimizer = create(holder.Parameters());
        for (int step = 0; step < 3; step++) Step(holder, optimizer, step);
        return Read(holder.Parameters()[0].Value);
    }

    private ParameterHolder Holder()
    {
        ParameterHolder holder = new(Stream, [new Shape(3)]);
        holder.Parameters()[0].Value.CopyFrom<float>(Stream, [1f, 2f, 3f]);
        return holder;
    }

    private void Step(Module module, Optimizer optimizer, int step)
    {
        using GradientStore store = new(module.Parameters());
        Set(store, module.Parameters()[0], s_gradients[step]);
        optimizer.Step(Stream, store, 0.1f);
    }

    private void Set(GradientStore store, Parameter parameter, params float[] gradient)
    {
        store.TryTarget(Stream, parameter, out Tensor target, out _);
        target.CopyFrom<float>(Stream, gradient);
    }
}
