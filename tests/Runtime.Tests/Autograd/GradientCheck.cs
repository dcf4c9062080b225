using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

/// <summary>
/// Checks a function's output and all its gradients against a plain double-precision formula: the gradients are central differences of
/// the formula, weighted by random numbers, so nothing of the code under test is in the expectation.
/// </summary>
internal sealed class GradientCheck(ExecutionStream stream)
{
    private const double Step = 1e-5;

    /// <summary>Inputs are drawn from [-Scale, Scale) and moved by <see cref="Offset"/>.</summary>
    public float Scale { get; init; } = 1;

    public float Offset { get; init; }

    public float Tolerance { get; init; } = 2e-5f;

    /// <summary>Runs on a tape and compares. The formula gets inputs first, then parameters.</summary>
    public void Run(Shape[] inputs, Shape[] parameters, Func<Variable[], Parameter[], Variable> apply, Func<double[][], double[]> formula)
    {
        using ParameterHolder holder = new(stream, parameters);
        Run(inputs, holder, apply, formula);
    }

    /// <summary>As above for a module of one input, which is disposed; the formula gets the input, then the parameters in order.</summary>
    public void Run(Shape input, Module module, Func<double[][], double[]> formula)
    {
        using Module owned = module;
        module.Initialize(stream, 0);
        Run([input], module, (x, _) => module.Forward(x[0]), formula);
    }

    private void Run(Shape[] inputs, Module holder, Func<Variable[], Parameter[], Variable> apply, Func<double[][], double[]> formula)
    {
        float[][] values = [.. inputs.Concat(holder.Parameters().Select(parameter => parameter.Shape)).Select((shape, i) => Numbers.Uniform(shape, 100 + i, Scale).Select(x => x + Offset).ToArray())];
        for (int i = inputs.Length; i < values.Length; i++) holder.Parameters()[i - inputs.Length].Value.CopyFrom<float>(stream, values[i]);
        using GradientStore store = new(holder.Parameters());
        using GradientTape tape = new(stream, TapeMode.Training, new StepContext(5, 6, 7));
        Variable[] variables = new Variable[inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            using Tensor tensor = Tensor.From(stream, values[i], inputs[i]);
            variables[i] = tape.Input(tensor, requiresGradient: true);
        }
        Variable output = apply(variables, [.. holder.Parameters()]).Keep();
        double[][] exact = [.. values.Select(array => array.Select(x => (double)x).ToArray())];
        Numbers.AssertClose(formula(exact), output.Value.ToArray<float>(stream), Tolerance, Tolerance);
        float[] weights = Numbers.Uniform(output.Shape, 99);
        using (Tensor outputGradient = Tensor.From(stream, weights, output.Shape)) tape.Backward(output, outputGradient, store);
        for (int i = 0; i < values.Length; i++)
        {
            Tensor? gradient = i < inputs.Length ? variables[i].Gradient : store.Of(holder.Parameters()[i - inputs.Length]);
            Assert.NotNull(gradient);
            Numbers.AssertClose(Differences(exact, i, weights, formula), gradient.ToArray<float>(stream), Tolerance, Tolerance);
        }
    }

    private static double[] Differences(double[][] values, int which, float[] weights, Func<double[][], double[]> formula)
    {
        double[] gradient = new double[values[which].Length];
        for (int k = 0; k < gradient.Length; k++)
        {
            double old = values[which][k];
            values[which][k] = old + Step;
            double above = Weighted(formula(values), weights);
            values[which][k] = old - Step;
            double below = Weighted(formula(values), weights);
            values[which][k] = old;
            gradient[k] = (above - below) / (2 * Step);
        }
        return gradient;
    }

    private static double Weighted(double[] output, float[] weights) => output.Select((x, i) => x * weights[i]).Sum();
}

/// <summary>Parameters with given values.</summary>
internal sealed class ParameterHolder : Module
{
    public ParameterHolder(ExecutionStream stream, Shape[] shapes)
    {
        for (int i = 0; i < shapes.Length; i++) Register($"p{i}", shapes[i], Initializer.Zeros);
        Initialize(stream, 0);
    }

    public override Variable Forward(Variable input) => throw new NotSupportedException();
}
