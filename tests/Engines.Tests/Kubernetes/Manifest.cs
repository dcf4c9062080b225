using k8s;
using k8s.Models;

namespace DistTrain.Engines.Tests;

/// <summary>The manifests of deploy/kubernetes, read strictly: a field that Kubernetes or the operator does not know is an error.</summary>
internal static class Manifest
{
    private static readonly Dictionary<string, Type> s_types = new()
    {
        ["v1/Service"] = typeof(V1Service), ["batch/v1/Job"] = typeof(V1Job),
        ["kubeflow.org/v2beta1/MPIJob"] = typeof(MpiJob), ["kubeflow.org/v1/PyTorchJob"] = typeof(PyTorchJob), ["trainer.kubeflow.org/v1alpha1/TrainJob"] = typeof(TrainJob),
    };

    internal static string Text(string name) => File.ReadAllText(Repository.Deploy("kubernetes", name));

    internal static List<object> Parse(string text) => KubernetesYaml.LoadAllFromString(text, s_types, strict: true);

    internal static T Single<T>(string name) => Parse(Text(name)).OfType<T>().Single();
}
